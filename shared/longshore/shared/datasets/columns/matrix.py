"""From a batch of rows to the float32 matrix a model takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.numbers import Column, Floats, convert
from longshore.shared.datasets.columns.types import type_name
from longshore.shared.datasets.images.columns import to_pixels
from longshore.shared.errors import DataError
from longshore.shared.specs.signature import Feature, Signature

#: Columns laid side by side at a time: 16 float32 fill a cache line, so that each line of the matrix is written once.
TOGETHER = 16


@dataclass(frozen=True)
class Matrix:
    """A batch of n rows. Rows that cannot be used are all zeros, and good rows do not suffer from them."""

    #: Shape (n, width), C-contiguous. Read-only where it is the batch's own memory.
    values: Floats
    #: Row in the batch to what is wrong with it, naming the column.
    errors: dict[int, str]


def to_matrix(batch: pa.RecordBatch, signature: Signature) -> Matrix:
    """The features of a batch, side by side in the signature's order.

    One column of float32 lists is taken as it lies in memory; everything else is one copy. Image files are decoded,
    see ``to_pixels``. A null, a list of another length, a text that is no number, a number that is not finite as
    float32 and an image that cannot be decoded make their row bad.

    :raises DataError: a column is missing, or holds something else. :raises InvalidInput: nothing here decodes images.
    """
    there = {name: position for position, name in enumerate(batch.schema.names)}
    columns = [_column(batch, there.get(feature.name), feature) for feature in signature.features]
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
    return Matrix(values, dict(sorted(errors.items())))


def _column(batch: pa.RecordBatch, position: int | None, feature: Feature) -> Column:
    if position is None:
        raise DataError(f"the data has no column {feature.name!r}")
    array = batch.column(position)
    try:
        return to_pixels(array, feature) if feature.kind == "image" else convert(array, feature)
    except TypeError:
        wanted = "numbers" if feature.width is None else f"lists of {feature.width} numbers"
        wanted = "image files" if feature.kind == "image" else wanted
        raise DataError(f"column {feature.name!r} holds {type_name(array.type)}, not {wanted}") from None


def _joined(columns: list[Floats], rows: int) -> Floats:
    if len(columns) == 1:
        return np.ascontiguousarray(columns[0])
    values = np.empty((rows, sum(column.shape[1] for column in columns)), np.float32)
    start = 0
    for first in range(0, len(columns), TOGETHER):
        part = np.concatenate(columns[first : first + TOGETHER], axis=1)
        values[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    return values


def _not_finite(values: Floats) -> list[tuple[int, int]]:
    """Row and first position of each row that holds a NaN or an infinity."""
    with np.errstate(all="ignore"):
        # Such a value makes its row's sum one, too: most batches are done with one pass that allocates next to nothing.
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
