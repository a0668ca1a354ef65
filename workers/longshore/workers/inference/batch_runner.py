"""Windows through the model: in batches that fit, rows of like length together, bad rows by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from longshore.shared.errors import InvalidInput
from longshore.workers.inference.heads import Heads, Kept, all_finite
from longshore.workers.models.batch_size import NO_LENGTH, BatchSizes, bucket
from longshore.workers.models.error_kinds import is_fatal, is_out_of_memory, is_the_model_s, reason
from longshore.workers.runtimes.base import Places, Prepared, Runtime

#: The error of a row whose output is none.
NOT_FINITE = "the model's output is not a finite number"


class Computer:
    """One shard's, or one group's, way through a loaded version.

    :param sizes: rows in a forward pass.
    :param allow_nan: an output that is not finite is no error.
    :param step: called after each batch with the number of its rows; what it raises ends the work.
    """

    def __init__(
        self, runtime: Runtime, heads: Heads, sizes: BatchSizes, *, allow_nan: bool, step: Callable[[int], None]
    ) -> None:
        self._runtime = runtime
        self._heads = heads
        self._sizes = sizes
        self._allow_nan = allow_nan
        self._step = step
        self._worked = False
        #: What the job's owner should know, a sentence each.
        self.notes: list[str] = []

    def run(self, prepared: Prepared) -> tuple[pa.StructArray, dict[int, str]]:
        """The outputs of a window's n rows, ``(n,)`` and null where a row has an error; and the errors.

        :raises InvalidInput: the model fails on whatever it is given.
        """
        errors = dict(prepared.errors)
        self.notes += [note for note in prepared.notes if note not in self.notes]
        window = _Window(len(prepared))
        for places in self._batches(prepared):
            self._compute(prepared, places, window, errors)
        if not window.kept:  # not one row could be run
            return pa.array([None] * len(prepared), pa.struct([])), errors
        if not self._allow_nan:
            for row in np.flatnonzero(~all_finite(window.kept)):
                errors.setdefault(int(row), NOT_FINITE)
        outputs = self._heads.columns(window.kept)
        return (_without(outputs, errors) if errors else outputs), errors

    def _batches(self, prepared: Prepared) -> Iterator[Places]:
        """Which rows go together. Sizes can change while this runs."""
        lengths = prepared.lengths
        if lengths is None and not prepared.errors:
            start = 0
            while start < len(prepared):
                rows = self._sizes.rows(NO_LENGTH)
                yield slice(start, min(start + rows, len(prepared)))
                start += rows
            return
        good = np.ones(len(prepared), bool)
        good[list(prepared.errors)] = False
        order = np.flatnonzero(good)
        if lengths is not None:
            # Longest first: what does not fit into memory is found at once.
            order = order[np.argsort(-lengths[order], kind="stable")]
        while len(order):
            rows = self._sizes.rows(NO_LENGTH if lengths is None else bucket(int(lengths[order[0]])))
            yield order[:rows]
            order = order[rows:]

    def _compute(self, prepared: Prepared, batch: Places, window: _Window, errors: dict[int, str]) -> None:
        """One batch; halved where it does not fit, or fails, down to single rows."""
        waiting = [batch]
        while waiting:
            places = waiting.pop()
            rows = _count(places)
            start = time.perf_counter()
            try:
                kept = self._forward(prepared, places)
            except Exception as error:
                if is_fatal(error):
                    raise
                self._failed(prepared, places, error, errors, waiting)
                continue
            self._worked = True
            self._sizes.measured(_bucket(prepared, places), rows, time.perf_counter() - start)
            window.put(places, kept)
            self._step(rows)

    def _forward(self, prepared: Prepared, places: Places) -> list[Kept]:
        with torch.inference_mode():
            reduced = self._heads.reduce(self._runtime.forward(prepared, places))
            return [[tensor.cpu().numpy() for tensor in tensors] for tensors in reduced]

    def _failed(
        self, prepared: Prepared, places: Places, error: Exception, errors: dict[int, str], waiting: list[Places]
    ) -> None:
        rows = _count(places)
        if is_out_of_memory(error):
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if rows > 1:
                smaller = self._sizes.did_not_fit(_bucket(prepared, places), rows)
                self.notes.append(f"{rows} rows in one forward pass did not fit into memory; {smaller} are used")
        elif rows > 1 and not self._worked and self._is_broken(prepared, places):
            raise InvalidInput("model", f"it fails on whatever row it is given: {reason(error)}") from error
        if rows == 1:
            place = places.start if isinstance(places, slice) else int(places[0])
            errors[place] = f"the model fails on this row: {reason(error)}"
            self._step(1)
            return
        waiting += _halves(places)

    def _is_broken(self, prepared: Prepared, places: Places) -> bool:
        """Whether the model fails on each of some rows, spread over the batch."""
        return is_the_model_s(lambda row: self._forward(prepared, row), _spread(places))


class _Window:
    """The outputs of a window's rows, put in their places as they come."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        #: By head, arrays whose first axis is the window's rows.
        self.kept: list[Kept] = []

    def put(self, places: Places, kept: list[Kept]) -> None:
        """Take the outputs of some rows."""
        if _count(places) == self._rows and isinstance(places, slice):
            self.kept = kept
            return
        if not self.kept:
            self.kept = [[np.zeros((self._rows, *array.shape[1:]), array.dtype) for array in arrays] for arrays in kept]
        for arrays, parts in zip(self.kept, kept, strict=True):
            for array, part in zip(arrays, parts, strict=True):
                array[places] = part


def _without(outputs: pa.StructArray, errors: dict[int, str]) -> pa.StructArray:
    """Null where a row has an error."""
    mask = np.zeros(len(outputs), bool)
    mask[list(errors)] = True
    fields = [outputs.field(number) for number in range(outputs.type.num_fields)]
    return pa.StructArray.from_arrays(fields, fields=list(outputs.type), mask=pa.array(mask))


def _count(places: Places) -> int:
    return places.stop - places.start if isinstance(places, slice) else len(places)


def _bucket(prepared: Prepared, places: Places) -> int:
    return NO_LENGTH if prepared.lengths is None else bucket(int(prepared.lengths[places].max()))


def _halves(places: Places) -> list[Places]:
    """The second half first: the last of a list is taken next."""
    if isinstance(places, slice):
        middle = (places.start + places.stop) // 2
        return [slice(middle, places.stop), slice(places.start, middle)]
    return [places[len(places) // 2 :], places[: len(places) // 2]]


def _spread(places: Places, most: int = 16) -> list[npt.NDArray[np.int64]]:
    """Single rows of a batch, far apart."""
    rows = np.arange(places.start, places.stop) if isinstance(places, slice) else places
    picked = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64))
    return [rows[number : number + 1] for number in picked]
