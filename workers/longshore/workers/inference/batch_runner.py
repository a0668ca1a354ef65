"""Runs windows through the model: in batches that fit, rows of similar length together, bad rows alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from longshore.shared.errors import InvalidInput
from longshore.workers.inference.heads import all_finite
from longshore.workers.inference.row_heads import HeadArrays, RowHeads
from longshore.workers.models.batch_size import NO_LENGTH, BatchSizes, bucket
from longshore.workers.models.error_kinds import fails_on_every_row, is_fatal, is_out_of_memory, reason
from longshore.workers.runtimes.base import PreparedRows, RowSelection, Runtime

#: The error of a row whose output is not finite.
NOT_FINITE = "the model's output is not a finite number"


class BatchRunner:
    """Runs the rows of one shard, or of one batch of shards, through a loaded version.

    :param sizes: rows in a forward pass.
    :param allow_nan: accept outputs that are not finite.
    :param step: called after each batch with the number of its rows; an error that it raises ends the run.
    """

    def __init__(
        self, runtime: Runtime, heads: RowHeads, sizes: BatchSizes, *, allow_nan: bool, step: Callable[[int], None]
    ) -> None:
        self._runtime = runtime
        self._heads = heads
        self._sizes = sizes
        self._allow_nan = allow_nan
        self._step = step
        self._worked = False
        #: Notes for the job's owner, a sentence each.
        self.notes: list[str] = []

    def run(self, prepared: PreparedRows) -> tuple[pa.StructArray, dict[int, str]]:
        """The outputs of a window's n rows, ``(n,)`` and null where a row has an error; and the errors.

        :raises InvalidInput: the model fails on every row.
        """
        errors = dict(prepared.errors)
        self.notes += [note for note in prepared.notes if note not in self.notes]
        window = _OutputWindow(len(prepared))
        for selection in self._batches(prepared):
            self._compute(prepared, selection, window, errors)
        if not window.outputs:  # not one row could be run
            return pa.array([None] * len(prepared), pa.struct([])), errors
        if not self._allow_nan:
            for row in np.flatnonzero(~all_finite(window.outputs)):
                errors.setdefault(int(row), NOT_FINITE)
        outputs = self._heads.columns(window.outputs, prepared)
        return (_without(outputs, errors) if errors else outputs), errors

    def _batches(self, prepared: PreparedRows) -> Iterator[RowSelection]:
        """Yield the rows of each batch. Batch sizes can change while this runs."""
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
            # Longest first: a batch that does not fit into memory then comes first.
            order = order[np.argsort(-lengths[order], kind="stable")]
        while len(order):
            rows = self._sizes.rows(NO_LENGTH if lengths is None else bucket(int(lengths[order[0]])))
            yield order[:rows]
            order = order[rows:]

    def _compute(
        self, prepared: PreparedRows, batch: RowSelection, window: _OutputWindow, errors: dict[int, str]
    ) -> None:
        """Run one batch. Halve it if it does not fit or fails, down to single rows."""
        waiting = [batch]
        while waiting:
            selection = waiting.pop()
            rows = _count(selection)
            start = time.perf_counter()
            try:
                outputs = self._forward(prepared, selection)
            except Exception as error:
                if is_fatal(error):
                    raise
                self._failed(prepared, selection, error, errors, waiting)
                continue
            self._worked = True
            self._sizes.record(_bucket(prepared, selection), rows, time.perf_counter() - start)
            window.put(selection, outputs)
            self._step(rows)

    def _forward(self, prepared: PreparedRows, selection: RowSelection) -> list[HeadArrays]:
        with torch.inference_mode():
            reduced = self._heads.reduce(self._runtime.forward(prepared, selection))
            return [[tensor.cpu().numpy() for tensor in tensors] for tensors in reduced]

    def _failed(
        self,
        prepared: PreparedRows,
        selection: RowSelection,
        error: Exception,
        errors: dict[int, str],
        waiting: list[RowSelection],
    ) -> None:
        rows = _count(selection)
        if is_out_of_memory(error):
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if rows > 1:
                smaller = self._sizes.record_out_of_memory(_bucket(prepared, selection), rows)
                self.notes.append(f"{rows} rows in one forward pass did not fit into memory; {smaller} are used")
        elif rows > 1 and not self._worked and self._is_broken(prepared, selection):
            raise InvalidInput("model", f"it fails on every row: {reason(error)}") from error
        if rows == 1:
            row = selection.start if isinstance(selection, slice) else int(selection[0])
            errors[row] = f"the model fails on this row: {reason(error)}"
            self._step(1)
            return
        waiting += _halves(selection)

    def _is_broken(self, prepared: PreparedRows, selection: RowSelection) -> bool:
        """Whether the model fails on each of a sample of rows, spread over the batch."""
        return fails_on_every_row(lambda row: self._forward(prepared, row), _spread(selection))


class _OutputWindow:
    """Collects the outputs of a window's rows in row order."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        #: By head, arrays whose first axis is the window's rows.
        self.outputs: list[HeadArrays] = []

    def put(self, selection: RowSelection, outputs: list[HeadArrays]) -> None:
        """Add the outputs of some rows."""
        if _count(selection) == self._rows and isinstance(selection, slice):
            self.outputs = outputs
            return
        if not self.outputs:
            self.outputs = [
                [np.zeros((self._rows, *array.shape[1:]), array.dtype) for array in arrays] for arrays in outputs
            ]
        for arrays, parts in zip(self.outputs, outputs, strict=True):
            for array, part in zip(arrays, parts, strict=True):
                array[selection] = part


def _without(outputs: pa.StructArray, errors: dict[int, str]) -> pa.StructArray:
    """The outputs, with null for each row that has an error."""
    mask = np.zeros(len(outputs), bool)
    mask[list(errors)] = True
    fields = [outputs.field(number) for number in range(outputs.type.num_fields)]
    return pa.StructArray.from_arrays(fields, fields=list(outputs.type), mask=pa.array(mask))


def _count(selection: RowSelection) -> int:
    return selection.stop - selection.start if isinstance(selection, slice) else len(selection)


def _bucket(prepared: PreparedRows, selection: RowSelection) -> int:
    return NO_LENGTH if prepared.lengths is None else bucket(int(prepared.lengths[selection].max()))


def _halves(selection: RowSelection) -> list[RowSelection]:
    """Both halves, the second first: the last of a list is taken next."""
    if isinstance(selection, slice):
        middle = (selection.start + selection.stop) // 2
        return [slice(middle, selection.stop), slice(selection.start, middle)]
    return [selection[len(selection) // 2 :], selection[: len(selection) // 2]]


def _spread(selection: RowSelection, most: int = 16) -> list[npt.NDArray[np.int64]]:
    """A sample of single rows, spread over a batch."""
    rows = np.arange(selection.start, selection.stop) if isinstance(selection, slice) else selection
    picked = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64))
    return [rows[number : number + 1] for number in picked]
