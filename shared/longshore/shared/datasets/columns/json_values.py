"""Columns whose values are JSON texts, as they are written in a JSON Lines file: numbers keep all their digits."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

#: The type of such a column.
JSON = pa.json_(pa.string())


class NumberToken(str):
    """A number of a JSON text, as it is written."""


def is_json(kind: pa.DataType) -> bool:
    """Whether a column has JSON texts."""
    return isinstance(kind, pa.JsonType)


def json_column(texts: pa.Array) -> pa.Array:
    """A column of JSON texts; null if the text is null."""
    return pa.ExtensionArray.from_storage(JSON, texts.cast(pa.string()))


def decode_json(column: pa.Array) -> list[JsonValue]:
    """The values as Python objects; integers are exact."""
    return [None if text is None else json.loads(text) for text in column.storage.to_pylist()]


def plain_texts(column: pa.Array) -> pa.Array:
    """The values as text: strings are decoded, and everything else is the JSON text itself."""
    texts = column.storage
    quoted = pc.fill_null(pc.starts_with(texts, '"'), False)
    if not pc.any(quoted).as_py():
        return texts
    if pc.any(pc.match_substring(texts, "\\")).as_py():
        values: Iterable[str | None] = (
            json.loads(text) if text is not None and text[0] == '"' else text for text in texts.to_pylist()
        )
        return pa.array(values, pa.string())
    return pc.if_else(quoted, pc.utf8_slice_codeunits(texts, 1, -1), texts)


def write_json(value: object) -> str:
    """The JSON text of a decoded value in which numbers are :class:`NumberToken`."""
    if isinstance(value, NumberToken):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{write_json(key)}: {write_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(write_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
