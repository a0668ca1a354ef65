"""Documents as JSON texts."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from uuid import UUID

#: What Unicode, Python's ``str.splitlines`` and httpx take for the end of a line, and JSON for any other character of a
#: string; those below U+0020 are escaped in any case. https://www.rfc-editor.org/rfc/rfc8259#section-7
_LINE_ENDS = ("\x85", "\u2028", "\u2029")


def to_json(document: object, indent: int | None = None) -> str:
    """Serialize to JSON, including dataclasses, datetimes, UUIDs and paths. NaN and infinity become null.

    No string has a character that ends a line for some readers.
    """
    return on_one_line(json.dumps(_jsonable(document), ensure_ascii=False, allow_nan=False, indent=indent))


def on_one_line(text: str) -> str:
    """A JSON text, with the characters escaped that end a line for some readers: who reads a stream of lines would see
    two halves of a document.
    """
    if not text.isascii():
        for end in _LINE_ENDS:
            text = text.replace(end, f"\\u{ord(end):04x}")
    return text


def _jsonable(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID | Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonable(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value
