"""The outputs of jobs that generate text as columns.

What a schema or a tool determines has no type that all rows share: such columns hold JSON texts, so that no value
changes. Packages of frames get them decoded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
from pydantic import JsonValue

#: The type of a column of JSON texts.
JSON: Final = pa.json_(pa.string())
_TOKEN: Final = [("token", pa.string()), ("logprob", pa.float64())]
#: The types of the columns, in order. A column in which no row has a value is left out, but for the first three.
TYPES: Final[Mapping[str, pa.DataType]] = {
    "text": pa.string(),
    "finish_reason": pa.string(),
    "usage": pa.struct([(f"{name}_tokens", pa.int64()) for name in ("prompt", "completion", "cached")]),
    "choices": JSON,
    "logprobs": pa.list_(pa.struct([*_TOKEN, ("top", pa.list_(pa.struct(_TOKEN)))])),
    "tool_calls": JSON,
    "message": JSON,
    "data": JSON,
}
_ALWAYS: Final = frozenset({"text", "finish_reason", "usage"})


def generated_columns(outputs: Sequence[str]) -> dict[str, pa.Array]:
    """The columns of outputs.

    :param outputs: a JSON object for each row.
    """
    decoded: list[dict[str, JsonValue]] = [json.loads(output) for output in outputs]
    present = _ALWAYS.union(*(row.keys() for row in decoded))
    names = [name for name in TYPES if name in present]
    # Of a later release.
    names += sorted(present.difference(TYPES))
    return {name: _column(name, decoded) for name in names}


def decode_cell(kind: pa.DataType, value: JsonValue) -> JsonValue:
    """A value of a column as Python has it: JSON texts are decoded."""
    decoded: JsonValue = json.loads(value) if kind == JSON and isinstance(value, str) else value
    return decoded


def _column(name: str, rows: Sequence[Mapping[str, JsonValue]]) -> pa.Array:
    kind = TYPES.get(name, JSON)
    if kind != JSON:
        return pa.array([row.get(name) for row in rows], kind)
    texts = [json.dumps(row[name], ensure_ascii=False) if name in row else None for row in rows]
    return pa.ExtensionArray.from_storage(JSON, pa.array(texts, pa.string()))
