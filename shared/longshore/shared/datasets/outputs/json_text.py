"""Converts Arrow values to JSON text by column: no Python code runs per row."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.columns.json_values import is_json
from longshore.shared.datasets.columns.types import is_list

#: Control characters, which JSON escapes; they are replaced one by one only if a value contains any.
_CONTROL_CHARACTERS = "[\\x00-\\x1f]"


def json_texts(values: pa.Array) -> pa.LargeStringArray:
    """The JSON of each value, shape (n,), with the spacing of Python's ``json``; null if the value is null.

    Numbers are the shortest text that reads back as the same value of their type. Nulls inside a value, and numbers
    that are not finite, are ``null``. Dates and times are ISO 8601 strings.

    :raises TypeError: the type cannot be written as JSON (for example bytes).
    """
    return pc.if_else(values.is_valid(), _texts(values), None)


def _texts(values: pa.Array) -> pa.LargeStringArray:
    """The JSON of each value, with the text ``null`` for nulls."""
    kinds, kind = pa.types, values.type
    if is_json(kind):
        return _or_null(values.storage.cast(pa.large_string()))
    if isinstance(kind, pa.BaseExtensionType):
        return _texts(values.storage)
    if kinds.is_null(kind):
        return pa.array(["null"] * len(values), pa.large_string())
    if kinds.is_dictionary(kind):
        return _or_null(_texts(values.dictionary).take(values.indices))
    if kinds.is_struct(kind):
        return _or_null(pc.if_else(values.is_valid(), _objects(values), None))
    if is_list(kind):
        return _or_null(_lists(values))
    if kinds.is_floating(kind):
        floats = values.cast(pa.float32()) if kinds.is_float16(kind) else values
        return _or_null(pc.if_else(pc.is_finite(floats), floats, None).cast(pa.large_string()))
    if kinds.is_integer(kind) or kinds.is_boolean(kind) or kinds.is_decimal(kind):
        return _or_null(values.cast(pa.large_string()))
    return _or_null(_quoted(values))


def _or_null(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    return texts.fill_null("null") if texts.null_count else texts


def _objects(values: pa.StructArray) -> pa.LargeStringArray:
    parts: list[pa.Array | pa.Scalar] = []
    opening = "{"
    for number, field in enumerate(values.type):
        head = f"{opening}{json.dumps(field.name, ensure_ascii=False)}: "
        column = values.field(number)
        if pa.types.is_dictionary(column.type) and not column.null_count:
            # Few distinct values and many rows: join the key to each distinct value once.
            distinct = pc.binary_join_element_wise(_large(head), _texts(column.dictionary), _large(""))
            parts.append(distinct.take(column.indices))
        else:
            parts += [_large(head), _texts(column)]
        opening = ", "
    if not parts:
        return pa.array(["{}"] * len(values), pa.large_string())
    return pc.binary_join_element_wise(*parts, _large("}"), _large(""))


def _lists(values: pa.Array) -> pa.LargeStringArray:
    lengths = pc.fill_null(pc.list_value_length(values), 0).cast(pa.int64())
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths)])
    items = pa.LargeListArray.from_arrays(offsets, _texts(values.flatten()))
    joined = pc.binary_join_element_wise(_large("["), pc.binary_join(items, _large(", ")), _large("]"), _large(""))
    return pc.if_else(values.is_valid(), joined, None)


def _quoted(values: pa.Array) -> pa.LargeStringArray:
    kinds, kind = pa.types, values.type
    if kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_fixed_size_binary(kind):
        raise TypeError(f"{kind} cannot be written as JSON")
    try:
        texts = values.cast(pa.large_string())
    except pa.ArrowNotImplementedError:
        raise TypeError(f"{kind} cannot be written as JSON") from None
    escaped = pc.replace_substring(pc.replace_substring(texts, "\\", "\\\\"), '"', '\\"')
    if pc.any(pc.match_substring_regex(escaped, _CONTROL_CHARACTERS)).as_py():
        for code in range(0x20):
            escaped = pc.replace_substring(escaped, chr(code), json.dumps(chr(code))[1:-1])
    return pc.binary_join_element_wise(_large('"'), escaped, _large('"'), _large(""))


def _large(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())
