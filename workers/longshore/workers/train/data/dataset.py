"""Converts tables to training data: a matrix of features, targets, and the rows that are held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.datasets.columns.offsets import sample_rows
from longshore.shared.datasets.index_columns import RowCounts, index_notes
from longshore.shared.datasets.schemas import check_held_out, infer_features
from longshore.shared.datasets.split_names import TEST, VALIDATION
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import image_shape
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.statistics import ColumnStatistics
from longshore.shared.specs.tokenizer import DEFAULT_LENGTH
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.data.bad_rows import bad_row
from longshore.workers.train.data.column_statistics import ColumnMeter, evenly
from longshore.workers.train.data.constant_columns import constant_notes
from longshore.workers.train.data.fit_features import BaseFeatures, TrainedBatches, fit_features
from longshore.workers.train.data.leaks import leak_notes
from longshore.workers.train.data.split import Rows, SplitIndices, split_by_column, split_by_fold, split_by_fraction
from longshore.workers.train.data.targets import Targets, Values, make_signature, make_target_encoder, unseen
from longshore.workers.train.data.texts import FittedTokenizer, tokenise

#: Rows converted in one step, which bounds the memory needed beside the matrix itself.
_CHUNK = 8192
#: Bytes of numbers in one step, likewise.
_CHUNK_BYTES = 256 << 20


@dataclass(frozen=True)
class Tables:
    """The rows of ``spec.data``, and held-out rows that have a table of their own."""

    data: pa.Table
    validation: pa.Table | None = None
    test: pa.Table | None = None
    #: Notes on the files, and on how they were read, a sentence each.
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[tuple[str, pa.Table]]:
        """Yield the tables, each with the field of the spec that names it; ``data`` first."""
        for field, table in (("data", self.data), (VALIDATION, self.validation), (TEST, self.test)):
            if table is not None:
                yield field, table


@dataclass(frozen=True)
class TrainingData:
    """Tables as numbers: the rows of ``data``, then those of ``validation``, then those of ``test``."""

    signature: Signature
    #: float32 ``(n, width)``, all finite; for texts, token ids, as wide as the longest text.
    features: npt.NDArray[np.float32]
    targets: Targets
    #: Indexes of the rows to train on, and of those held out for validation and for the test (may be empty).
    train_rows: Rows
    held_out_rows: Rows
    test_rows: Rows
    #: Notes on unusual data, a sentence each.
    notes: tuple[str, ...] = ()
    #: Only for texts.
    tokenizer: FittedTokenizer | None = None
    #: Columns of the rows to train on.
    statistics: tuple[ColumnStatistics, ...] = ()

    @property
    def outputs(self) -> int:
        """Outputs of the network for a row."""
        assert self.signature.outputs is not None
        return self.signature.outputs

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Only for classifiers: rows to train on of each class."""
        return self._class_counts(self.train_rows)

    @property
    def validation_rows(self) -> int:
        """Rows that measure each epoch."""
        return len(self.held_out_rows)

    @property
    def validation_counts(self) -> tuple[int, ...]:
        """Rows that measure each epoch, of each class; empty if the task is not classification."""
        return self._class_counts(self.held_out_rows) if self.signature.task == "classification" else ()

    def _class_counts(self, rows: Rows) -> tuple[int, ...]:
        codes = self.targets.values[rows].astype(np.int64)
        return tuple(np.bincount(codes, minlength=self.outputs).tolist())


def read_training_data(
    spec: TrainSpec,
    tables: Tables,
    fold: tuple[int, int] | None = None,
    tokenizer: str | None = None,
    base: BaseFeatures | None = None,
) -> TrainingData:
    """Check and convert every row of ``tables``.

    :param fold: (i, k) validates on the i-th (from 0) of k equal parts of ``data``, and not as ``spec`` says.
    :param tokenizer: only for texts: the content of the tokenizer that ``spec`` names; ``None`` trains one.
    :param base: gives the features the offsets and transforms of a base version; see :func:`fit_features`.
    :raises InvalidInput: names the field of ``spec`` that does not fit the tables, or a bad row by its number (from 0).
    """
    data = tables.data
    if data.num_rows < 2:
        raise InvalidInput("data", f"rows: {data.num_rows}; training needs at least 2")
    first = data.slice(0, _CHUNK).combine_chunks().to_batches()[0]
    shape = image_shape(spec.config)
    tokens = None if spec.tokenizer is None else spec.tokenizer.length or DEFAULT_LENGTH
    features = infer_features(
        data.schema, first, spec.target, spec.features, shape, spec.split, tokens, spec.preprocess
    )
    targets = _read_targets(spec, tables, features)
    parts = _split(spec, tables, targets, fold)
    sample = sample_rows(data, [*features, Feature(name=spec.target)])
    fitted_features = fit_features(spec, features, sample, base, data, partial(_trained_batches, data, parts.train))
    features = fitted_features.features
    signature = make_signature(spec, features, targets)
    names = [feature.name for feature in features]
    notes = tables.notes
    if spec.features is None:
        notes = (*notes, *index_notes(data.schema, names, (spec.target, spec.split)))
    if signature.is_text:
        rows, fitted = tokenise(spec, list(tables), parts.train, signature, tokenizer)
        notes = (*notes, *fitted.notes)
        return TrainingData(signature, rows, targets, parts.train, parts.validation, parts.test, notes, fitted)
    matrix = _read_features(tables, signature)
    counts = RowCounts(feature.name for feature in features if feature.kind == "number" and feature.width is None)
    counts.add(data)
    constant = _constant_columns(matrix, parts.train, signature)
    leaks = leak_notes(matrix, parts.train, signature, targets)
    notes = (*notes, *leaks, *counts.notes(), *constant, *fitted_features.notes(targets))
    meter = ColumnMeter(signature)
    meter.add(matrix, evenly(parts.train))
    return TrainingData(
        *(signature, matrix, targets, parts.train, parts.validation, parts.test, notes), statistics=meter.measured()
    )


def _trained_batches(table: pa.Table, train: Rows, names: Sequence[str]) -> TrainedBatches:
    trained = np.zeros(table.num_rows, bool)
    trained[train[train < table.num_rows]] = True
    start = 0
    for batch in table.select(list(names)).to_batches(max_chunksize=_CHUNK):
        yield batch, trained[start : start + batch.num_rows]
        start += batch.num_rows


def _read_targets(spec: TrainSpec, tables: Tables, features: tuple[Feature, ...]) -> Targets:
    column = tables.data[spec.target]
    encoder = make_target_encoder(column, spec.target, spec.task)
    for field, table in list(tables)[1:]:
        check_held_out(table.schema, features, spec.target, column.type, field)
        if encoder.task == "embedding":
            encoder = encoder.with_labels_of(table[spec.target])
    values = [encoder.encode(column)]
    for field, table in list(tables)[1:]:
        values.append(encoder.encode(table[spec.target], where=f" of {field}"))
    return Targets(encoder.task, cast(Values, np.concatenate(values)), encoder.labels)


def _split(spec: TrainSpec, tables: Tables, targets: Targets, fold: tuple[int, int] | None) -> SplitIndices:
    """Split the rows of ``data``, and add the rows of the other tables to their splits."""
    count = tables.data.num_rows
    grouped = targets.task in ("classification", "embedding")
    if spec.stratify and not grouped:
        what = "whose rows are of no one class" if targets.task == "multilabel" else "which has no classes"
        raise InvalidInput("stratify", f"the task is {targets.task}, {what}; leave it out")
    if spec.split is not None:
        parts = split_by_column(tables.data[spec.split], spec.split)
    else:
        stratified = grouped and spec.stratify is not False
        groups = targets.values[:count].astype(np.int64) if stratified else np.zeros(count, np.int64)
        drawn = [part if isinstance(part, float) else 0.0 for part in (spec.validation, spec.test)]
        parts = (
            split_by_fraction(groups, drawn[0], drawn[1], spec.seed)
            if fold is None
            else split_by_fold(groups, fold, spec.seed)
        )
    if targets.task == "embedding":
        _refuse_lone(spec.target, targets.values[parts.train])
    else:
        _refuse_unseen(spec.target, targets, parts)
    start = count
    added = {VALIDATION: parts.validation, TEST: parts.test}
    for field, table in list(tables)[1:]:
        added[field] = np.arange(start, start + table.num_rows)
        start += table.num_rows
    return SplitIndices(parts.train, added[VALIDATION], added[TEST])


def _refuse_unseen(name: str, targets: Targets, parts: SplitIndices) -> None:
    if targets.labels is None:
        return
    sets = targets.task == "multilabel"
    missing = ~_there(targets, parts.train)
    for rows, where in ((parts.validation, f" for {VALIDATION}"), (parts.test, f" for {TEST}")):
        values = targets.values[rows]
        bad = np.flatnonzero((values[:, missing] if sets else missing[values.astype(np.int64)][:, None]).any(axis=1))
        if len(bad):
            first = values[bad[0]]
            code = int(np.flatnonzero(first & missing)[0]) if sets else int(first)
            count = int((values[:, code] if sets else values == code).sum())
            raise unseen(name, targets.labels[code], int(rows[bad[0]]), where, count)


def _there(targets: Targets, rows: Rows) -> npt.NDArray[np.bool_]:
    """Whether a label occurs in ``rows``, bool ``(labels,)``."""
    assert targets.labels is not None
    values = targets.values[rows]
    if targets.task == "multilabel":
        return np.asarray(values.any(axis=0), np.bool_)
    return np.bincount(values.astype(np.int64), minlength=len(targets.labels)) > 0


def _refuse_lone(name: str, codes: Values) -> None:
    """Refuse targets without two rows of one class: an embedding is learned from pairs of these."""
    if len(np.unique(codes)) == len(codes):
        raise InvalidInput(
            "target",
            f"column {name!r} has a different label in each of the {len(codes)} rows to train on; "
            "an embedding is learned from rows with the same label",
        )


def _read_features(tables: Tables, signature: Signature) -> npt.NDArray[np.float32]:
    matrix = np.empty((sum(table.num_rows for _, table in tables), signature.width), dtype=np.float32)
    start = 0
    for field, table in tables:
        read_matrix(table, signature, matrix[start : start + table.num_rows], field)
        start += table.num_rows
    return matrix


def read_matrix(table: pa.Table, signature: Signature, out: npt.NDArray[np.float32], field: str = "data") -> None:
    """Write the columns of ``signature`` into ``out``, float32 ``(n, width)``.

    :param field: the argument that brought the table, for errors.
    :raises InvalidInput: a value is missing, unreadable or not finite.
    """
    offset = 0
    columns = table.select([feature.name for feature in signature.features])
    for batch in columns.to_batches(max_chunksize=max(1, min(_CHUNK, _CHUNK_BYTES // (4 * signature.width)))):
        part = to_matrix(batch, signature)
        if part.errors:
            row = min(part.errors)
            raise bad_row(field, offset + row, part.errors[row], signature)
        out[offset : offset + batch.num_rows] = part.values
        offset += batch.num_rows


def _constant_columns(matrix: npt.NDArray[np.float32], rows: Rows, signature: Signature) -> Iterator[str]:
    first = matrix[rows[0]]

    def is_constant(part: slice) -> bool:
        # Most columns differ in their first rows.
        return all(bool((matrix[some, part] == first[part]).all()) for some in (rows[:100], rows))

    return constant_notes(signature.features, first, is_constant)
