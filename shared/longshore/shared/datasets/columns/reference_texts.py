"""Reads the expected texts of rows, with which generated texts are compared."""

from __future__ import annotations

import pyarrow as pa

from longshore.shared.datasets.columns.json_values import decode_json, is_json
from longshore.shared.specs.validation import shorten


def read_references(column: pa.Array | pa.ChunkedArray) -> list[tuple[str, ...] | str]:
    """The expected texts of each row, one or several; for a row that has none, why.

    Numbers count as they are written.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    values = decode_json(column) if is_json(column.type) else column.to_pylist()
    return [_read(value) for value in values]


def _read(value: object) -> tuple[str, ...] | str:
    if value is None:
        return "missing; give a text"
    several = value if isinstance(value, list) else [value]
    texts = tuple(_text(each) for each in several)
    if not texts or any(text is None for text in texts):
        return f"{shorten(value)}; give a text, or a list of texts"
    return tuple(text for text in texts if text is not None)


def _text(value: object) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None
