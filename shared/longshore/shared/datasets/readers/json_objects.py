"""Reads JSON Lines object by object: what Arrow's reader refuses, or would change."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pyarrow as pa

from longshore.shared.datasets.columns.json_values import NumberToken, is_json, json_column, write_json
from longshore.shared.datasets.columns.number_texts import to_numbers
from longshore.shared.specs.validation import shorten

Row = dict[str, object]


def read_objects(content: bytes) -> list[Row]:
    """The objects of all lines that are not blank. Numbers are :class:`NumberToken`.

    :raises ValueError: a line is not one object, or has a key twice.
    """
    rows = [_DECODER.decode(line) for line in content.decode().split("\n") if line.strip()]
    for row in rows:
        if not isinstance(row, dict):
            raise ValueError(f"{shorten(row)} is not an object")
    return rows


def column_of(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    """A column of a type, as Arrow's reader makes it.

    If a value does not fit a column of numbers, the column is text: numbers as they are written, other texts as they
    are, unless they could be taken for a number; these stay in quotes. If a value does not fit a column of lists or
    objects, the column has JSON texts.
    """
    if is_json(kind):
        return _json(values)
    if pa.types.is_string(kind):
        return pa.array([_text(value) for value in values], pa.string())
    if pa.types.is_floating(kind):
        texts = pa.array([_number(value) for value in values], pa.string())
        numbers = to_numbers(texts)
        return texts if len(numbers.bad) else numbers.values
    if all(fits(value, kind) for value in values):
        return pa.array([_python(value) for value in values], kind)
    return _json(values)


def infer_types(rows: Sequence[Row]) -> pa.Schema:
    """The types of rows that Arrow cannot infer, because the values of a column are of several kinds."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.schema([(name, _type([row.get(name) for row in rows])) for name in names])


def fits(value: object, kind: pa.DataType) -> bool:
    """Whether a column of a type can have the value without a change."""
    if value is None:
        return True
    if pa.types.is_floating(kind):
        return isinstance(value, NumberToken)
    if pa.types.is_boolean(kind):
        return isinstance(value, bool)
    if pa.types.is_list(kind):
        return isinstance(value, list) and all(fits(item, kind.value_type) for item in value)
    if pa.types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        return isinstance(value, dict) and all(
            name in fields and fits(item, fields[name]) for name, item in value.items()
        )
    return pa.types.is_string(kind) and isinstance(value, str) and not isinstance(value, NumberToken)


def json_fits(text: str | None, kind: pa.DataType) -> bool:
    """Whether a column of a type can have the value of a JSON text without a change."""
    return text is None or fits(_DECODER.decode(text), kind)


def _type(values: Iterable[object]) -> pa.DataType:
    kinds = {_kind(value) for value in values if value is not None}
    if kinds <= {"number", "boolean"}:
        return pa.float64() if kinds != {"boolean"} else pa.bool_()
    if kinds == {"list"}:
        items = [item for value in values if isinstance(value, list) for item in value]
        inner = _type(items)
        return pa.list_(inner)
    return pa.string()


def _kind(value: object) -> str:
    if isinstance(value, NumberToken):
        return "number"
    if isinstance(value, bool):
        return "boolean"
    return "list" if isinstance(value, list) else type(value).__name__


def _json(values: Sequence[object]) -> pa.Array:
    texts = [None if value is None else write_json(value) for value in values]
    return json_column(pa.array(texts, pa.string()))


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else write_json(value)


def _number(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, NumberToken):
        return "+nan" if value == "NaN" else str(value)  # "NaN" alone is a word for a missing number in CSV
    if not isinstance(value, str):
        return write_json(value)
    return value if len(to_numbers(pa.array([value], pa.string())).bad) else write_json(value)


def _python(value: object) -> object:
    """The value with numbers as floats."""
    if isinstance(value, NumberToken):
        return float(value)
    if isinstance(value, list):
        return [_python(item) for item in value]
    if isinstance(value, dict):
        return {name: _python(item) for name, item in value.items()}
    return value


def _object(pairs: list[tuple[str, object]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shorten(twice)} occurs twice")
    return row


_DECODER = json.JSONDecoder(
    parse_float=NumberToken, parse_int=NumberToken, parse_constant=NumberToken, object_pairs_hook=_object
)
