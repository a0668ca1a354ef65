"""Converts one column of a batch to float32, and reports the rows that cannot be converted."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

from longshore.shared.datasets.columns.column import Column, Floats
from longshore.shared.datasets.columns.json_values import decode_json, is_json
from longshore.shared.datasets.columns.nested_lists import NestedLists, flatten, nulls, unwrap
from longshore.shared.datasets.columns.number_texts import to_numbers
from longshore.shared.datasets.columns.types import is_list, is_number, is_text
from longshore.shared.datasets.columns.utf8 import valid_texts
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.validation import shorten

Offsets = tuple[float, ...] | None


def convert(array: pa.Array, feature: Feature) -> Column:
    """Convert a column to the numbers of a feature.

    :raises TypeError: the type of the column does not fit the feature.
    """
    if feature.width is not None and is_json(array.type):
        return _json_lists(array, feature.width, feature.offsets)
    inner = unwrap(array)
    if feature.width is not None and is_list(inner.type):
        lists = flatten(inner)
        if is_number(lists.values.type):
            return _lists(lists, feature.width, feature.offsets)
    elif feature.width is None and is_text(inner.type):
        return _texts(inner, feature.offsets)
    elif feature.width is None and is_number(inner.type):
        return _numbers(inner, feature.offsets)
    raise TypeError(f"has the type {array.type}")


def to_floats(array: pa.Array) -> Floats:
    """Numbers without nulls as float32, shape (n,); without a copy if they are float32 already."""
    return np.asarray(_as_floats(array).to_numpy(zero_copy_only=True))


def _shifted(array: pa.Array, offsets: Offsets) -> Floats:
    """Numbers without nulls as float32, less ``offsets``, which are subtracted in 64 bits; ``(n, len(offsets))``."""
    if offsets is None:
        return to_floats(array)[:, None]
    with np.errstate(over="ignore"):
        doubles = array.cast(pa.float64(), safe=False).to_numpy().reshape(-1, len(offsets))
        away: Floats = (doubles - np.array(offsets)).astype(np.float32)
    return away


def _as_floats(array: pa.Array) -> pa.Array:
    if array.type == pa.float32():
        return array
    if pa.types.is_decimal(array.type):  # Arrow can cast it to float32 only via float64
        array = array.cast(pa.float64())
    return array.cast(pa.float32(), safe=False)


def _numbers(array: pa.Array, offsets: Offsets) -> Column:
    if not array.null_count:
        return Column(_shifted(array, offsets), {})
    missing = np.flatnonzero(nulls(array))
    return Column(_shifted(_filled(array, offsets), offsets), dict.fromkeys(missing.tolist(), "null"))


def _texts(array: pa.Array, offsets: Offsets) -> Column:
    """Read texts as numbers."""
    array = valid_texts(array)
    numbers = to_numbers(array)
    column = _numbers(numbers.values, offsets)
    texts = array.take(pa.array(numbers.bad)).to_pylist()
    bad = {int(row): f"{shorten(text)} is not a number" for row, text in zip(numbers.bad, texts, strict=True)}
    return Column(column.values, column.errors | bad)


def _json_lists(array: pa.Array, width: int, offsets: Offsets) -> Column:
    """Read JSON texts as lists of numbers. A text file has these only where one of them is not such a list."""
    values, errors = np.zeros((len(array), width), np.float32), {}
    for row, value in enumerate(decode_json(array)):
        items = flat_items(value) if isinstance(value, list) else []
        wrong = next((item for item in items if not isinstance(item, int | float)), 0)
        if not isinstance(value, list):
            errors[row] = "null" if value is None else f"{shorten(value)} is not a list of {width} numbers"
        elif wrong is None:
            errors[row] = "a null in the list"
        elif not isinstance(wrong, int | float):
            errors[row] = f"{shorten(wrong)} in the list is not a number"
        elif len(items) != width:
            errors[row] = f"a list of length {len(items)}, not {width}"
        else:
            with np.errstate(over="ignore"):
                numbers = np.array([float(item) for item in items if isinstance(item, int | float)])
                values[row] = numbers if offsets is None else numbers - offsets
    return Column(values, errors)


def flat_items(value: list[JsonValue]) -> list[JsonValue]:
    """The items of nested lists, in order."""
    items: list[JsonValue] = []
    for item in value:
        items += flat_items(item) if isinstance(item, list) else [item]
    return items


def _lists(lists: NestedLists, width: int, offsets: Offsets) -> Column:
    bad = lists.is_null | lists.has_null | (np.diff(lists.offsets) != width)
    if not bad.any():
        return Column(_shifted(lists.values, offsets).reshape(-1, width), {})
    values = np.zeros((len(bad), width), np.float32)
    good = np.flatnonzero(~bad)
    if len(good):
        places = lists.offsets[good][:, None] + np.arange(width)
        if offsets is None:
            values[good] = to_floats(_filled(lists.values))[places]
        else:
            values[good] = _shifted(lists.values.take(pa.array(places.ravel())), offsets)
    return Column(values, {row: list_error(lists, row, width) for row in np.flatnonzero(bad).tolist()})


def list_error(lists: NestedLists, row: int, width: int) -> str:
    """Why a row is not a list of ``width`` numbers."""
    if lists.is_null[row]:
        return "null"
    if lists.has_null[row]:
        return "a null in the list"
    return f"a list of length {lists.offsets[row + 1] - lists.offsets[row]}, not {width}"


def _filled(array: pa.Array, offsets: Offsets = None) -> pa.Array:
    """The array with zeros in place of nulls."""
    if offsets is not None:
        return pc.fill_null(array.cast(pa.float64(), safe=False), offsets[0])
    if pa.types.is_null(array.type):
        return pa.array(np.zeros(len(array), np.float32))
    return pc.fill_null(_as_floats(array), 0.0) if array.null_count else array
