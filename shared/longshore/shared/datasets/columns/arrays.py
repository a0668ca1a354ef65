"""Columns of NumPy arrays, and how an array without column names meets a version that has some."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.nested_lists import flatten
from longshore.shared.datasets.columns.types import shape_of
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature

#: What the only column of an array is called.
FEATURES = "features"
#: The column of rows that are given as strings.
TEXT = "text"


def array_column(values: npt.NDArray[np.generic], field: str = "data") -> pa.Array:
    """A column of one number a row, or of fixed-size lists of the flattened rest; the same memory where Arrow can.

    :raises InvalidInput: the array is not made of numbers, or has no rows, or rows of nothing.
    """
    if values.dtype.kind not in "biuf" or isinstance(values, np.ma.MaskedArray):
        what = "a masked array" if isinstance(values, np.ma.MaskedArray) else f"an array of {values.dtype}"
        raise InvalidInput(field, f"{what}; give numbers (integers, floats or booleans)")
    if values.ndim == 0 or values.size == 0:
        raise InvalidInput(field, f"an array of shape {values.shape}; give at least one row with at least one value")
    # Arrow knows neither foreign byte orders nor floats longer than 64 bits.
    if values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    flat = np.ascontiguousarray(values, values.dtype.newbyteorder("=")).reshape(-1)
    if values.ndim == 1:
        return pa.array(flat)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), len(flat) // len(values))


def plain_rows(rows: object, signature: Signature, looked_at: int) -> pa.Table | None:
    """What most requests bring, as the table that is run: a float32 array for a version of one column of numbers.

    Nothing of such an array has to be converted, so that looking for what could be wrong with it is quick.

    :param looked_at: how many of the first rows.
    :returns: ``None`` for anything else, and where one of these is not finite.
    """
    first = signature.features[0]
    if not (type(rows) is np.ndarray and rows.dtype == np.float32 and rows.ndim == 2 and rows.size):
        return None
    if len(signature.features) > 1 or first.kind != "number" or first.width != rows.shape[1]:
        return None
    if not np.isfinite(rows[:looked_at]).all():
        return None
    return pa.Table.from_arrays([array_column(rows)], names=[first.name])


def rename_to(table: pa.Table, signature: Signature, name: str) -> pa.Table:
    """Give the only column of an array, or of texts, the names that a version knows; other tables stay as they are.

    :param name: how the version is called in an error, as in ``digits:3``.
    :raises InvalidInput: the array's rows have another width; names ``data``.
    """
    if signature.is_text and table.column_names == [TEXT]:
        return table.rename_columns([signature.features[0].name])
    return give_names(table, signature.features) if needs_names(table.schema, signature, name) else table


def needs_names(schema: pa.Schema, signature: Signature, name: str) -> bool:
    """Whether the only column of an array is what a version calls otherwise.

    :param name: how the version is called in an error.
    :raises InvalidInput: the array's rows have another width; names ``data``.
    """
    features = signature.features
    if schema.names != [FEATURES] or any(feature.name == FEATURES for feature in features):
        return False
    shape = shape_of(schema.field(0).type)
    if shape is None or shape.size is None:
        return False
    one = len(features) == 1 and shape.scalar == (features[0].width is None)
    if shape.size != signature.width or (shape.scalar and not one):
        given = "()" if shape.scalar else f"({shape.size},)"
        raise InvalidInput(
            "data", f"rows of shape {given}, but {name} takes ({signature.width},): {_described(features)}"
        )
    return True


def give_names(table: pa.Table, features: tuple[Feature, ...]) -> pa.Table:
    """Split the only column of a table, of as many numbers a row as the features have together."""
    column = table.column(0).combine_chunks()
    shape = shape_of(column.type)
    if len(features) == 1 and shape is not None and shape.scalar == (features[0].width is None):
        return table.rename_columns([features[0].name])
    return _split(column, features)


def _split(column: pa.Array, features: tuple[Feature, ...]) -> pa.Table:
    leaves = flatten(column)
    if leaves.null.any() or leaves.holed.any():
        raise InvalidInput(
            "data", f"rows of {FEATURES!r} that hold nulls cannot be split; give a column for each feature"
        )
    rows = leaves.values.to_numpy(zero_copy_only=False).reshape(len(column), -1)
    columns, start = [], 0
    for feature in features:
        part = rows[:, start : start + feature.size]
        columns.append(array_column(part[:, 0] if feature.width is None else part))
        start += feature.size
    return pa.table(columns, names=[feature.name for feature in features])


def _described(features: tuple[Feature, ...]) -> str:
    shown = [feature.name if feature.width is None else f"{feature.name} ({feature.width})" for feature in features[:6]]
    return ", ".join(shown) + (f" and {len(features) - 6} more" if len(features) > 6 else "")
