"""Converts a batch of rows to the float32 matrix that is a model's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.column import Column, Floats
from longshore.shared.datasets.columns.numbers import convert
from longshore.shared.datasets.columns.types import type_name
from longshore.shared.datasets.images.columns import to_pixels
from longshore.shared.datasets.preprocess.encode import encode_column
from longshore.shared.errors import DataError
from longshore.shared.specs.signature import Feature, Signature

#: Columns that are concatenated at a time: 16 float32 fill a cache line, so each line of the matrix is written once.
COLUMNS_PER_BLOCK = 16
#: What a column of each kind has, for errors.
_EXPECTED = {
    "image": "image files",
    "category": "categories (texts, whole numbers or booleans)",
    "datetime": "dates or times",
    "text": "text",
}


@dataclass(frozen=True)
class FeatureMatrix:
    """The features of n rows. Bad rows are all zeros and do not affect good rows."""

    #: Shape (n, width), C-contiguous. Read-only if it shares the batch's memory.
    values: Floats
    #: Index of each bad row in the batch, with an error that names the column.
    errors: dict[int, str]
    #: Remarks on columns that are no errors, such as categories that are unknown.
    notes: tuple[str, ...] = ()


def to_matrix(batch: pa.RecordBatch, signature: Signature) -> FeatureMatrix:
    """The features of a batch of n rows, concatenated in the signature's order; shape (n, width).

    A single column of float32 lists is used without a copy; everything else is copied once. Image files are decoded,
    see ``to_pixels``; columns with a transform are preprocessed. A row is bad if it has a null, a list of the wrong
    length, a text that is not a number, a number that is not finite as float32, or an image that cannot be decoded.

    :raises DataError: a column is missing or has the wrong type.
    :raises InvalidInput: there are images and the package pillow is not installed.
    """
    positions = {name: position for position, name in enumerate(batch.schema.names)}
    columns = [_column(batch, positions.get(feature.name), feature) for feature in signature.features]
    errors: dict[int, str] = {}
    for feature, column in zip(signature.features, columns, strict=True):
        for row, reason in column.errors.items():
            errors.setdefault(row, f"column {feature.name!r}: {reason}")
    values = _joined([column.values for column in columns], batch.num_rows)
    for row, position in _not_finite(values):
        errors.setdefault(row, _describe(signature, position, values[row, position]))
    if errors:
        values = values if values.flags.writeable else values.copy()
        values[list(errors)] = 0
    notes = tuple(
        f"column {feature.name!r} {column.note}"
        for feature, column in zip(signature.features, columns, strict=True)
        if column.note is not None
    )
    return FeatureMatrix(values, dict(sorted(errors.items())), notes)


def _column(batch: pa.RecordBatch, position: int | None, feature: Feature) -> Column:
    if position is None:
        raise DataError(f"the data has no column {feature.name!r}")
    array = batch.column(position)
    try:
        if feature.transform is not None:
            return encode_column(array, feature)
        return to_pixels(array, feature) if feature.kind == "image" else convert(array, feature)
    except TypeError:
        expected = "numbers" if feature.width is None else f"lists of {feature.width} numbers"
        expected = _EXPECTED.get(feature.kind, expected)
        raise DataError(f"column {feature.name!r} has {type_name(array.type)}, not {expected}") from None


def _joined(columns: list[Floats], rows: int) -> Floats:
    if len(columns) == 1:
        return np.ascontiguousarray(columns[0])
    values = np.empty((rows, sum(column.shape[1] for column in columns)), np.float32)
    start = 0
    for first in range(0, len(columns), COLUMNS_PER_BLOCK):
        block = np.concatenate(columns[first : first + COLUMNS_PER_BLOCK], axis=1)
        values[:, start : start + block.shape[1]] = block
        start += block.shape[1]
    return values


def _not_finite(values: Floats) -> list[tuple[int, int]]:
    """Each row that has a NaN or an infinity, and the first position of one in it."""
    with np.errstate(all="ignore"):
        # Such a value makes its row's sum not finite: for most batches, one pass that allocates little is enough.
        suspects: npt.NDArray[np.int64] = np.flatnonzero(~np.isfinite(values.sum(axis=1)))
    bad = ~np.isfinite(values[suspects])
    return [(int(row), int(flags.argmax())) for row, flags in zip(suspects, bad, strict=True) if flags.any()]


def _describe(signature: Signature, position: int, value: np.float32) -> str:
    for feature in signature.features:
        if position < feature.size:
            break
        position -= feature.size
    where = "" if feature.width is None else f" at position {position}"
    return f"column {feature.name!r}: {value}{where} is not a finite float32"
