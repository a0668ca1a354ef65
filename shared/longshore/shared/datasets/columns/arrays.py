"""Columns made of NumPy arrays, and how an array without column names is matched to a version's columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longshore.shared.datasets.columns.containers import NUMBERS, native_numbers
from longshore.shared.datasets.columns.nested_lists import flatten
from longshore.shared.datasets.columns.types import shape_of
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import UNFITTED, Feature, Signature

#: The name of the only column of an array.
FEATURES = "features"
#: The name of the only column of rows that are strings.
TEXT = "text"


def array_column(values: npt.NDArray[np.generic], field: str = "data") -> pa.Array:
    """Convert an array of n rows to a column, without a copy if Arrow can share the memory.

    An array of shape (n,) becomes a column of numbers, any other a column of fixed-size lists of the flattened rows.

    :param field: the argument to name in an error. Default: ``data``.
    :raises InvalidInput: the array does not contain numbers, or has no rows, or rows without values.
    """
    if isinstance(values, np.ma.MaskedArray) or getattr(values, "mask", None) is not None:
        raise InvalidInput(
            field,
            "a masked array; call filled(value) to replace the masked values, or give a dict of columns, in which "
            "a masked value is missing",
        )
    _check_numbers(values, field)
    flat = native_numbers(np.asarray(values)).reshape(-1)
    return pa.array(flat) if values.ndim == 1 else _rows_of(pa.array(flat), len(values))


def masked_column(values: np.ma.MaskedArray[tuple[int, ...], np.dtype[np.generic]], field: str) -> pa.Array:
    """Convert a masked array of n rows to a column in which each masked value is null; see :func:`array_column`."""
    _check_numbers(values, field)
    flat = native_numbers(np.asarray(values.data)).reshape(-1)
    column = pa.array(flat, mask=np.ma.getmaskarray(values).reshape(-1))
    return column if values.ndim == 1 else _rows_of(column, len(values))


def _check_numbers(values: npt.NDArray[np.generic], field: str) -> None:
    if values.dtype.kind not in NUMBERS:
        raise InvalidInput(field, f"an array of {values.dtype}; give numbers (integers, floats or booleans)")
    if values.ndim == 0 or values.size == 0:
        raise InvalidInput(field, f"an array of shape {values.shape}; give at least one row with at least one value")


def _rows_of(flat: pa.Array, rows: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(flat, len(flat) // rows)


def plain_rows(rows: object, signature: Signature, checked_rows: int) -> pa.Table | None:
    """The fast path for most requests: a float32 array for a version with one numeric list column.

    Such an array needs no conversion, so that only its values have to be checked.

    :param checked_rows: how many of the first rows are checked for values that are not finite.
    :returns: the table to run; ``None`` for any other input, and if a checked value is not finite.
    """
    first = signature.features[0]
    if not (type(rows) is np.ndarray and rows.dtype == np.float32 and rows.ndim == 2 and rows.size):
        return None
    if len(signature.features) > 1 or first.kind != "number" or first.width != rows.shape[1]:
        return None
    if not np.isfinite(rows[:checked_rows]).all():
        return None
    return pa.Table.from_arrays([array_column(rows)], names=[first.name])


def rename_to(table: pa.Table, signature: Signature, name: str) -> pa.Table:
    """Rename the only column of an array, or of texts, to a version's columns; other tables are returned unchanged.

    :param name: the version's name in an error, as in ``digits:3``.
    :raises InvalidInput: the array's rows have a different width; names ``data``.
    """
    if signature.is_text and table.column_names == [TEXT]:
        return table.rename_columns([signature.features[0].name])
    return give_names(table, signature.features) if needs_names(table.schema, signature, name) else table


def needs_names(schema: pa.Schema, signature: Signature, name: str) -> bool:
    """Whether data is an array whose only column must be renamed to, or split into, a version's columns.

    :param name: the version's name in an error, as in ``digits:3``.
    :raises InvalidInput: the array's rows have a different width; names ``data``.
    """
    features = signature.features
    if schema.names != [FEATURES] or any(feature.name == FEATURES for feature in features):
        return False
    shape = shape_of(schema.field(0).type)
    if shape is None or shape.size is None or any(feature.kind in UNFITTED for feature in features):
        return False
    width = sum(feature.numbers for feature in features)
    one = len(features) == 1 and shape.scalar == (features[0].width is None)
    if shape.size != width or (shape.scalar and not one):
        row_shape = "()" if shape.scalar else f"({shape.size},)"
        raise InvalidInput(
            "data", f"rows of shape {row_shape}, but {name} takes ({width},): {_list_features(features)}"
        )
    return True


def give_names(table: pa.Table, features: tuple[Feature, ...]) -> pa.Table:
    """Split the only column of a table into features. Its rows have as many numbers as the features together."""
    column = table.column(0).combine_chunks()
    shape = shape_of(column.type)
    if len(features) == 1 and shape is not None and shape.scalar == (features[0].width is None):
        return table.rename_columns([features[0].name])
    return _split(column, features)


def _split(column: pa.Array, features: tuple[Feature, ...]) -> pa.Table:
    lists = flatten(column)
    if lists.is_null.any() or lists.has_null.any():
        raise InvalidInput("data", f"rows of {FEATURES!r} with nulls cannot be split; give a column for each feature")
    rows = lists.values.to_numpy(zero_copy_only=False).reshape(len(column), -1)
    columns, start = [], 0
    for feature in features:
        values = rows[:, start : start + feature.numbers]
        columns.append(array_column(values[:, 0] if feature.width is None else values))
        start += feature.numbers
    return pa.table(columns, names=[feature.name for feature in features])


def _list_features(features: tuple[Feature, ...]) -> str:
    shown = [feature.described for feature in features[:6]]
    return ", ".join(shown) + (f" and {len(features) - 6} more" if len(features) > 6 else "")
