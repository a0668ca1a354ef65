"""Columns of the keys of results. ``jsonb`` has numbers, texts and booleans; an Arrow column has one type."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, TypeAlias

import pyarrow as pa

#: A value of a key.
KeyValue: TypeAlias = int | float | str | bool | None

_INT64: Final = range(-(2**63), 2**63)
_UINT64: Final = range(2**64)
#: All of these are floats.
_EXACT: Final = range(-(2**53), 2**53 + 1)


def column_type(values: Sequence[KeyValue]) -> pa.DataType:
    """The type that has n values without a change: text if no other has."""
    kinds = {type(value) for value in values if value is not None}
    numbers = [value for value in values if isinstance(value, int | float)]
    if not kinds:
        return pa.null()
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        for kind, allowed in ((pa.int64(), _INT64), (pa.uint64(), _UINT64)):
            if min(numbers) in allowed and max(numbers) in allowed:
                return kind
    return pa.float64() if kinds <= {int, float} and all(map(_is_float, numbers)) else pa.string()


def decisive(values: Sequence[KeyValue]) -> list[KeyValue]:
    """Few of n values, with which :func:`column_type` finds the same type as with all, also beside further ones."""
    one_of_each = {type(value): value for value in values if value is not None}
    integers = [value for value in values if type(value) is int]
    if not integers:
        return [*one_of_each.values()]
    no_float = (value for value in integers if value not in _EXACT and not _is_float(value))
    return [*one_of_each.values(), min(integers), max(integers), next(no_float, None)]


def key_column(values: Sequence[KeyValue], kind: pa.DataType) -> pa.Array:
    """A column of n values. In a column of text, numbers and booleans are as JSON writes them.

    :raises pyarrow.ArrowInvalid: a value does not fit.
    """
    if pa.types.is_floating(kind):
        return pa.array([None if value is None else float(value) for value in values], kind)
    if not pa.types.is_string(kind):
        return pa.array(values, kind)
    texts = (value if value is None or isinstance(value, str) else json.dumps(value) for value in values)
    return pa.array(texts, kind)


def _is_float(value: int | float) -> bool:
    """Whether a float is written with the digits of the value. ``jsonb`` writes 1e300 as an integer of 301 digits."""
    try:
        return isinstance(value, float) or Decimal(repr(float(value))) == value
    except OverflowError:
        return False
