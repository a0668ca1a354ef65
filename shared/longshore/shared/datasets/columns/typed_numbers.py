"""Converts one column of a batch to numbers of a tensor type: exactly, or with an error for each row that cannot be.

Columns of float32, the usual input of a network, are converted by ``numbers``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.json_values import decode_json, is_json
from longshore.shared.datasets.columns.nested_lists import flatten, nulls, unwrap
from longshore.shared.datasets.columns.number_texts import to_numbers
from longshore.shared.datasets.columns.numbers import flat_items, list_error
from longshore.shared.datasets.columns.types import is_list, is_number, is_text
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.validation import shorten

Numbers = npt.NDArray[np.generic]
Mask = npt.NDArray[np.bool_]

#: From this size on, float64 cannot hold every whole number, so a number that was read as one may have been another.
_INEXACT = 2.0**53
_WHOLE = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True)
class TypedColumn:
    """One feature of n rows."""

    #: Shape (n, size). Bad rows are zero.
    values: Numbers
    #: Index of each bad row, with the reason.
    errors: dict[int, str]


def convert_typed(array: pa.Array, feature: Feature, dtype: np.dtype[np.generic]) -> TypedColumn:
    """Convert a column to the numbers of a feature.

    Whole numbers are converted to integers exactly. A row is bad if it has a null, a list of another length, a text
    that is not a number, or a number that the type cannot hold: a fraction or a number out of range for integers,
    anything but 0, 1, true and false for booleans, and numbers that are not finite for floats. Floats are rounded. If
    the feature has missing values, nulls and NaN become NaN, except for nulls in lists.

    :raises TypeError: the type of the column does not fit the feature.
    """
    missing = feature.missing is not None
    if feature.width is not None and is_json(array.type):
        return _json_lists(array, feature.width, dtype, missing=missing)
    inner = unwrap(array)
    if feature.width is not None and is_list(inner.type):
        return _lists(inner, feature.width, dtype, missing=missing)
    if feature.width is None and is_text(inner.type):
        return _texts(inner, dtype, missing=missing)
    if feature.width is None and is_number(inner.type):
        return _scalars(inner, dtype, missing=missing)
    raise TypeError(f"has the type {array.type}")


def _scalars(array: pa.Array, dtype: np.dtype[np.generic], *, missing: bool) -> TypedColumn:
    null = nulls(array)
    values = np.zeros(len(array), dtype)
    errors: dict[int, str] = {}
    if missing:
        values[null] = np.nan
    else:
        errors = dict.fromkeys(np.flatnonzero(null).tolist(), "null")
    present = np.flatnonzero(~null)
    cast = _cast(array.drop_null(), dtype, missing=missing)
    values[present] = cast.values
    errors |= {int(present[place]): cast.reason(place) for place in np.flatnonzero(cast.bad).tolist()}
    return TypedColumn(values[:, None], errors)


def _lists(array: pa.Array, width: int, dtype: np.dtype[np.generic], *, missing: bool) -> TypedColumn:
    lists = flatten(array)
    if not is_number(lists.values.type):
        raise TypeError(f"has the type {array.type}")
    bad = lists.is_null | lists.has_null | (np.diff(lists.offsets) != width)
    good = np.flatnonzero(~bad)
    values = np.zeros((len(bad), width), dtype)
    errors = {row: list_error(lists, row, width) for row in np.flatnonzero(bad).tolist()}
    places = (lists.offsets[good][:, None] + np.arange(width)).ravel()
    numbers = lists.values.take(pa.array(places)) if len(places) else lists.values.slice(0, 0)
    cast = _cast(numbers, dtype, missing=missing)
    values[good] = cast.values.reshape(-1, width)
    for place in np.flatnonzero(cast.bad)[::-1].tolist():  # the first of a row is kept
        errors[int(good[place // width])] = f"{cast.reason(place)}, at position {place % width}"
    values[list(errors)] = 0
    return TypedColumn(values, errors)


def _texts(array: pa.Array, dtype: np.dtype[np.generic], *, missing: bool) -> TypedColumn:
    """Read texts as numbers; whole numbers with all their digits."""
    numbers = to_numbers(array)
    column = _scalars(numbers.values, dtype, missing=missing)
    values, errors = column.values, column.errors
    errors |= {int(row): f"{shorten(array[row].as_py())} is not a number" for row in numbers.bad}
    values[numbers.bad] = 0
    if dtype.kind in "iu":
        large = pc.fill_null(pc.greater_equal(pc.abs(numbers.values), _INEXACT), False)
        for row in np.flatnonzero(large.to_numpy(zero_copy_only=False)).tolist():
            text = array[row].as_py().strip()
            if _WHOLE.fullmatch(text):
                errors.pop(row, None)
                _put(values, errors, row, [int(text)], missing=False)
    return TypedColumn(values, errors)


def _json_lists(array: pa.Array, width: int, dtype: np.dtype[np.generic], *, missing: bool) -> TypedColumn:
    """Read JSON texts as lists of numbers. A text file has these only where one of them is not such a list."""
    values = np.zeros((len(array), width), dtype)
    errors: dict[int, str] = {}
    for row, value in enumerate(decode_json(array)):
        if not isinstance(value, list):
            errors[row] = "null" if value is None else f"{shorten(value)} is not a list of {width} numbers"
            continue
        flat = flat_items(value)
        items = [item for item in flat if isinstance(item, int | float)]
        wrong = next((item for item in flat if not isinstance(item, int | float)), 0)
        if wrong is None:
            errors[row] = "a null in the list"
        elif len(items) != len(flat):
            errors[row] = f"{shorten(wrong)} in the list is not a number"
        elif len(items) != width:
            errors[row] = f"a list of length {len(items)}, not {width}"
        else:
            _put(values, errors, row, items, missing=missing)
    return TypedColumn(values, errors)


def _put(
    values: Numbers, errors: dict[int, str], row: int, items: list[int | float] | list[int], *, missing: bool
) -> None:
    """Write Python numbers to a row, or the reason why they do not fit."""
    for position, item in enumerate(items):
        reason = _misfit(item, values.dtype)
        if reason is not None and not (missing and math.isnan(item)):
            errors[row] = reason if len(items) == 1 else f"{reason}, at position {position}"
            values[row] = 0
            return
    values[row] = items


def _misfit(value: int | float | Decimal, dtype: np.dtype[np.generic]) -> str | None:
    """Why a number is not of a type; ``None`` if it is."""
    if dtype.kind == "b":
        return None if value in (0, 1) else f"{value} is not 0, 1, true or false"
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            finite = bool(np.isfinite(np.float64(value).astype(dtype)))
        return None if finite else f"{value} is not a finite {dtype.name}"
    if not math.isfinite(value) or value != int(value):
        return f"{value} is not a whole number"
    low, high = _limits(dtype)
    return None if low <= value <= high else f"{value} is out of the range of {dtype.name}"


def _limits(dtype: np.dtype[np.generic]) -> tuple[int, int]:
    """The smallest and the largest number of an integer type."""
    values = 1 << 8 * dtype.itemsize
    return (0, values - 1) if dtype.kind == "u" else (-values // 2, values // 2 - 1)


@dataclass(frozen=True)
class _Cast:
    """Numbers of a type, ``(n,)``, and which of them it cannot hold; these are 0."""

    values: Numbers
    bad: Mask
    reason: Callable[[int], str]


def _cast(array: pa.Array, dtype: np.dtype[np.generic], *, missing: bool) -> _Cast:
    """Convert numbers without nulls.

    :param missing: whether NaN is a value.
    """
    source = _numpy(array)
    if source.dtype.kind == "O":  # decimals, which no type of NumPy holds
        reasons = [_misfit(value, dtype) for value in source.tolist()]
        fits = np.array([reason is None for reason in reasons], bool)
        values = np.array([value if good else 0 for value, good in zip(source.tolist(), fits, strict=True)], dtype)
        return _Cast(values, ~fits, lambda place: str(reasons[place]))
    bad = ~_fits(source, dtype)
    if missing:
        bad &= source == source  # not NaN
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.where(bad, np.zeros(1, source.dtype), source).astype(dtype)

    def reason(place: int) -> str:
        value = source[place].item()
        misfit = _misfit(value, dtype)
        return misfit or f"{value} has more digits than a 64-bit float holds; give the column as integers"

    return _Cast(values, bad, reason)


def _numpy(array: pa.Array) -> Numbers:
    if pa.types.is_null(array.type):
        return np.zeros(len(array), np.float64)
    if pa.types.is_decimal(array.type):
        return np.array(array.to_pylist(), object)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    numbers: Numbers = array.to_numpy(zero_copy_only=False)
    return numbers


def _fits(source: Numbers, dtype: np.dtype[np.generic]) -> Mask:
    fits: Mask
    if dtype.kind == "b":
        fits = (source == 0) | (source == 1)
    elif dtype.kind == "f":
        with np.errstate(over="ignore"):
            fits = np.isfinite(source.astype(dtype))
    elif source.dtype.kind == "f":
        low, high = _limits(dtype)
        floats = source.astype(np.float64)
        # The bounds are powers of two, or 0, and so exact.
        fits = (floats == np.floor(floats)) & (floats >= float(low)) & (floats < float(high + 1))
        if source.dtype == np.float64:
            fits &= np.abs(floats) < _INEXACT
    else:
        (low, high), (own_low, own_high) = _limits(dtype), _limits(source.dtype)
        fits = np.greater_equal(source, max(low, own_low)) & np.less_equal(source, min(high, own_high))
    return fits
