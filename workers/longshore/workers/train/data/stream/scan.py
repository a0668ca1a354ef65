"""The first pass over a stream: checks every row, and measures what training must know before it begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from longshore.shared.datasets.columns.label_lists import is_label_lists, read_label_lists
from longshore.shared.datasets.columns.types import is_list, is_text, stored
from longshore.shared.datasets.index_columns import RowCounts, index_notes
from longshore.shared.datasets.open import notes_of
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.statistics import ColumnStatistics
from longshore.shared.specs.train import TrainSpec
from longshore.shared.vocabulary import TrainTask
from longshore.workers.families.standardize import Standardize
from longshore.workers.train.callbacks import Check
from longshore.workers.train.data.column_statistics import ColumnMeter
from longshore.workers.train.data.constant_columns import constant_notes
from longshore.workers.train.data.split import Codes
from longshore.workers.train.data.stream.reader import StreamSource, batches, features_of
from longshore.workers.train.data.stream.splitting import TEST, TRAIN, VALIDATION
from longshore.workers.train.data.targets import (
    MAX_LABELS,
    TargetEncoder,
    make_signature,
    make_target_encoder,
    refuse_missing,
    unseen,
)

_NAMES = {VALIDATION: "validation", TEST: "test"}


@dataclass(frozen=True)
class DataScan:
    """The result of one pass over the data."""

    signature: Signature
    encoder: TargetEncoder
    #: Mean and standard deviation of the rows to train on.
    standardize: Standardize
    #: For each source, the rows of each split in each run: int64 ``(runs, 3)``.
    counts: Sequence[npt.NDArray[np.int64]]
    notes: tuple[str, ...]
    #: Only for classifiers: rows to train on of each class, and rows that measure each epoch.
    class_counts: tuple[int, ...] = ()
    validation_counts: tuple[int, ...] = ()
    #: Columns of the rows to train on.
    statistics: tuple[ColumnStatistics, ...] = ()


def scan_streams(
    spec: TrainSpec, sources: Sequence[StreamSource], features: tuple[Feature, ...], check: Check
) -> DataScan:
    """Read every row of ``sources`` once.

    :raises InvalidInput: a row is bad, or the splits or labels do not allow training.
    """
    plain = Signature(features=features, task="regression", target=spec.target)
    scale, labels = _Scale(plain.width), _Labels(spec.target, spec.task)
    meter = ColumnMeter(plain)
    counts = [np.zeros((len(stream.runs), 3), np.int64) for stream in sources]
    row_counts = RowCounts(feature.name for feature in features if feature.kind == "number" and feature.width is None)
    for stream, counted in zip(sources, counts, strict=True):
        for run in range(len(stream.runs)):
            for start, batch in batches(stream, run, [*(each.name for each in features), spec.target], plain.width):
                check()
                if stream is sources[0]:
                    row_counts.add(batch)
                parts = stream.splitter.parts(batch, start)
                counted[run] += np.bincount(parts, minlength=3)
                matrix = features_of(stream, batch, start, np.arange(batch.num_rows), plain)
                scale.add(matrix[parts == TRAIN])
                meter.add(matrix, parts == TRAIN)
                labels.add(stream, batch.column(spec.target), parts, start)
    _check_parts(spec, np.sum([each.sum(axis=0) for each in counts], axis=0))
    encoder = labels.encoder()
    signature = make_signature(spec, features, encoder)
    names = [feature.name for feature in features]
    schema = sources[0].source.schema
    index = index_notes(schema, names, (spec.target, spec.split)) if spec.features is None else ()
    skipped = [note for stream in sources for note in notes_of(stream.source)]
    notes = (*skipped, *index, *row_counts.notes(), *scale.odd(features))
    return DataScan(
        signature,
        encoder,
        scale.measured().without(plain.unscaled),
        counts,
        notes,
        labels.class_counts(encoder, TRAIN),
        labels.class_counts(encoder, VALIDATION),
        meter.measured(),
    )


def _check_parts(spec: TrainSpec, counts: npt.NDArray[np.int64]) -> None:
    total = int(counts.sum())
    if spec.split is not None and not counts[TRAIN]:
        raise InvalidInput("split", f"column {spec.split!r} calls no row train; there must be rows to train on")
    if counts[TRAIN] < 2:
        raise InvalidInput("data", f"rows to train on: {counts[TRAIN]} of {total}; training needs at least 2")
    for part, name in _NAMES.items():
        fraction = getattr(spec, name)
        if spec.split is None and isinstance(fraction, float) and fraction > 0 and not counts[part]:
            raise InvalidInput(name, f"{fraction} of {total} rows holds none out; give a larger fraction, or 0")


class _Scale:
    """Computes the mean and standard deviation of :meth:`Standardize.measure` in one pass."""

    def __init__(self, width: int) -> None:
        self._count = 0
        self._first = torch.zeros(width, dtype=torch.float64)
        self._total, self._squares = torch.zeros_like(self._first), torch.zeros_like(self._first)

    def add(self, rows: npt.NDArray[np.float32]) -> None:
        if not len(rows):
            return
        away = torch.from_numpy(np.asarray(rows, np.float64))
        if not self._count:
            self._first = away[0].clone()
        away.sub_(self._first)
        self._count += len(rows)
        self._total += away.sum(dim=0)
        self._squares += away.square_().sum(dim=0)

    def measured(self) -> Standardize:
        mean = self._total / self._count
        std = (self._squares / self._count - mean.square()).clamp_(min=0).sqrt_().float()
        return Standardize((self._first + mean).float(), torch.where((self._squares == 0) | (std == 0), 1, std))

    def odd(self, features: Sequence[Feature]) -> Iterator[str]:
        return constant_notes(features, self._first.numpy(), lambda part: not bool(self._squares[part].any()))


class _Labels:
    """Collects the labels of the rows to train on, and the row where each held-out label first occurs."""

    def __init__(self, name: str, task: TrainTask) -> None:
        self._name = name
        self._task: TrainTask = task
        #: Rows to train on, and rows that measure each epoch, by label. More labels than allowed are not counted.
        self._counts: dict[int, Counter[object]] = {TRAIN: Counter(), VALIDATION: Counter()}
        #: Whether rows have lists of labels.
        self._sets = False
        #: The distinct labels; for a target without labels, one row, for its type.
        self._known: pa.Array | None = None
        #: Held-out labels, each with the split and the row where it first occurs.
        self._held_out: dict[object, tuple[str, int]] = {}

    def add(self, stream: StreamSource, column: pa.Array, parts: Codes, start: int) -> None:
        """:raises InvalidInput: a value is missing or not finite."""
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        where = "" if stream.field == "data" else f" of {stream.field}"
        refuse_missing(pa.chunked_array([column]), self._name, start, where)
        if not self._may_be_labels(column.type):
            self._known = column.slice(0, 1) if self._known is None else self._known
            one = pa.chunked_array([self._known])
            make_target_encoder(one, self._name, self._task).encode(pa.chunked_array([column]), start, where)
            return
        rows = np.arange(len(column))
        if is_label_lists(column.type, self._task):
            lists = read_label_lists(column, self._name, start, where)
            self._sets, column, rows, parts = True, lists.labels, lists.rows, parts[lists.rows]
        trained = column.filter(pa.array(parts == TRAIN))
        if self._task != "embedding" and not self._sets:
            self._count(trained, TRAIN)
            self._count(column.filter(pa.array(parts == VALIDATION)), VALIDATION)
        # An embedding can also separate classes that it was not trained on.
        self._learn(column if self._task == "embedding" else trained)
        for part, name in _NAMES.items():
            places = np.flatnonzero(parts == part)
            if len(places) and len(self._held_out) <= MAX_LABELS:
                values = column.take(pa.array(places)).to_pylist()
                for value in set(values) - self._held_out.keys():
                    self._held_out[value] = (name, start + int(rows[places[values.index(value)]]))

    def _count(self, values: pa.Array, part: int) -> None:
        counts = self._counts[part]
        if len(counts) <= MAX_LABELS:
            counts.update({each["values"]: each["counts"] for each in pc.value_counts(values).to_pylist()})

    def _learn(self, values: pa.Array) -> None:
        if self._known is None or pa.types.is_null(self._known.type):
            self._known = pc.unique(values)
        elif len(self._known) <= MAX_LABELS and not pa.types.is_null(values.type):
            self._known = pc.unique(pa.concat_arrays([self._known, values]))

    def encoder(self) -> TargetEncoder:
        """:raises InvalidInput: the values are not targets, or a held-out label occurs in no training row."""
        known = self._known
        if self._sets and known is not None:
            # As one row that has all labels.
            known = pa.LargeListArray.from_arrays(pa.array([0, len(known)], pa.int64()), known)
        encoder = make_target_encoder(pa.chunked_array([known]), self._name, self._task)
        if encoder.labels is not None:
            for label in self._held_out.keys() - set(encoder.labels):
                part, row = self._held_out[label]
                raise unseen(self._name, label, row, f" for {part}", 1)
        return encoder

    def class_counts(self, encoder: TargetEncoder, part: int) -> tuple[int, ...]:
        """Rows of a split, of each of the labels of a classifier; empty for another task."""
        if encoder.task != "classification":
            return ()
        return tuple(self._counts[part][label] for label in encoder.labels or ())

    def _may_be_labels(self, kind: pa.DataType) -> bool:
        whole = is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind)
        one = self._task in ("classification", "embedding") and not is_list(stored(kind))
        labels = one or is_label_lists(kind, self._task)
        return labels or (self._task == "auto" and whole)
