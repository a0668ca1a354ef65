"""Converts one column of rows passed in a call, in any supported container, to an Arrow array."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from longshore.shared.datasets.columns.arrays import array_column, masked_column
from longshore.shared.datasets.columns.containers import (
    NUMBERS,
    as_lists,
    dense_array,
    is_items,
    is_nested_tensor,
    misreads,
    plain,
    reads_masked,
)
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.validation import shorten

#: What Arrow and the conversion of containers raise for values that do not fit.
ERRORS = (pa.ArrowException, TypeError, ValueError, OverflowError)


def to_column(name: str, values: object) -> pa.Array | pa.ChunkedArray:
    """Convert a column: a list, an array, a series, a tensor or a sparse matrix of n rows. Missing values become null.

    :param name: the name of the column, for errors.
    :raises InvalidInput: the container is not supported, or a value does not fit; names the column and the row.
    """
    field = f"data[{name!r}]"
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in NUMBERS and values.ndim:
            return list_column(name, values)
        if isinstance(values, np.ma.MaskedArray):
            return masked_column(values, field)
        return array_column(values, field)
    if is_items(values):
        return list_column(name, list(values))  # type: ignore[call-overload]
    column = _foreign_column(name, values)
    if column is None:
        raise InvalidInput("data", f"column {name!r} is {type(values).__name__}, not an array or a list")
    return column


def list_column(
    name: str, values: Sequence[object] | np.ndarray[tuple[int, ...], np.dtype[np.generic]], nan_is_null: bool = False
) -> pa.Array:
    """Convert a value for each row. Only values that Arrow cannot read, or would read wrong, are converted one by one.

    :param nan_is_null: whether NaN is a missing value, as it is in columns of objects of pandas. Default: false.
    :raises InvalidInput: a value does not fit; names the column and the row.
    """
    items = [
        value.tolist() if type(value) is np.ndarray and value.ndim > 1 and value.dtype.kind in NUMBERS else value
        for value in values
    ]
    if not misreads(items):
        try:
            column = pa.array(items, from_pandas=nan_is_null)
            if not reads_masked(items, column.type):
                return column
        except ERRORS:
            pass
    return _converted(name, items)


def _converted(name: str, items: list[object]) -> pa.Array:
    values: list[object] = []
    try:
        for item in items:
            values.append(plain(item))
    except ERRORS as error:
        row = len(values)
        raise _misfit(name, row, items[row], error) from None
    # NaN among texts is a missing value, as in the rows of a pandas frame.
    try:
        return pa.array(values, from_pandas=True)
    except ERRORS:
        values = [as_lists(value) for value in values]
    try:
        return pa.array(values, from_pandas=True)
    except ERRORS as error:
        row = _first_misfit(values)
        raise _misfit(name, row, items[row], error) from None


def _misfit(name: str, row: int, value: object, error: Exception) -> InvalidInput:
    reason = next(iter(str(error).splitlines()), "")
    if "did not recognize Python value type" in str(error):
        reason = "give numbers, texts, lists or NumPy arrays"
    shown = shorten(value) if _is_short(value) else type(value).__name__
    return InvalidInput("data", f"row {row}, column {name!r}: {shown} does not fit: {reason}")


def _is_short(value: object) -> bool:
    """Whether the representation of a value says what it is; that of a container of another package takes lines."""
    return value is None or type(value).__module__ in ("builtins", "decimal", "datetime", "numpy")


def _first_misfit(values: list[object]) -> int:
    """The first row whose value does not fit the type of the rows before: by bisection, as Arrow does not report it."""
    start, stop = 0, len(values)
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            pa.array(values[:middle], from_pandas=True)
        except ERRORS:
            stop = middle
        else:
            start = middle
    return start


def _foreign_column(name: str, values: object) -> pa.Array | pa.ChunkedArray | None:
    """A column of another package; ``None`` if it is not one."""
    package = type(values).__module__.partition(".")[0]
    if package == "pandas":
        return _pandas_column(name, values)
    if package == "polars":
        return _polars_column(name, values)
    if package in ("torch", "scipy"):
        return tensor_column(name, values)
    return None


def _pandas_column(name: str, values: object) -> pa.Array | pa.ChunkedArray | None:
    pandas = sys.modules["pandas"]
    if isinstance(values, pandas.MultiIndex):
        return None
    if not isinstance(values, pandas.Series | pandas.Index | pandas.api.extensions.ExtensionArray):
        return None
    if isinstance(values.dtype, pandas.SparseDtype):
        return to_column(name, np.asarray(values))
    if values.dtype == object:
        return list_column(name, list(values), nan_is_null=True)
    try:
        return pa.array(values, from_pandas=True)
    except ERRORS as error:
        raise InvalidInput("data", f"column {name!r} of {values.dtype} cannot be converted: {error}") from None


def _polars_column(name: str, values: object) -> pa.Array | None:
    polars = sys.modules["polars"]
    if not isinstance(values, polars.Series):
        return None
    if values.dtype == polars.Object:
        return list_column(name, list(values))
    try:
        return values.to_arrow()
    except Exception as error:  # polars has its own exceptions, and panics where Arrow has no such type
        raise InvalidInput("data", f"column {name!r} of {values.dtype} cannot be converted: {error}") from None


def tensor_column(name: str, values: object) -> pa.Array | pa.ChunkedArray | None:
    """A column of a PyTorch tensor or a SciPy array, whose first axis is the rows; ``None`` for other objects."""
    try:
        dense = dense_array(values)
    except ValueError as error:
        raise InvalidInput("data", f"column {name!r}: {error}") from None
    if dense is not None:
        return to_column(name, dense)
    return list_column(name, plain(values)) if is_nested_tensor(values) else None  # type: ignore[arg-type]
