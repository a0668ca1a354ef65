"""Reads rows of a JSON Lines file: one object per line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.json as pj

from longshore.shared.datasets.files import open_bytes, reading
from longshore.shared.datasets.readers.lines import Positions, first_piece, is_last, split_json_lines
from longshore.shared.datasets.readers.text import TextSource, parse_rows, settle_types
from longshore.shared.errors import DataError
from longshore.shared.specs.validation import shorten
from longshore.shared.store.address import public

_UTF8_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class JsonLines:
    """Parses the rows of one JSON Lines file."""

    schema: pa.Schema

    def split(self, content: bytes, last: bool) -> tuple[Positions, int]:
        return split_json_lines(content, last)

    def parse(self, content: bytes, columns: Sequence[str]) -> pa.Table:
        options = pj.ParseOptions(
            explicit_schema=pa.schema([self.schema.field(column) for column in columns]),
            unexpected_field_behavior="ignore",
        )
        return _read(content, options)

    def parse_loosely(self, content: bytes, columns: Sequence[str]) -> pa.Table:
        rows = [json.loads(line) for line in content.split(b"\n") if line.strip()]
        invalid = next((row for row in rows if not isinstance(row, dict)), None)
        if invalid is not None:
            raise ValueError(f"{shorten(invalid)} is not an object")
        types = [self.schema.field(column).type for column in columns]
        return pa.table(
            [_loose([row.get(name) for row in rows], kind) for name, kind in zip(columns, types, strict=True)],
            names=list(columns),
        )


def open_json_lines(uri: str) -> TextSource:
    """Open a JSON Lines file: reads the first block to infer the columns and types.

    :raises DataError: the file cannot be read, has no rows, or does not begin with objects.
    """
    with reading(uri), open_bytes(uri) as file:
        begin = len(_UTF8_BOM) if file.read(len(_UTF8_BOM)) == _UTF8_BOM else 0
        first = first_piece(file, begin, split_json_lines)
        if first is None:
            raise DataError(f"{public(uri)} has no rows")
        schema = settle_types(parse_rows(uri, first, 0, partial(_read, options=pj.ParseOptions())).schema)
        return TextSource(uri, schema, JsonLines(schema), begin, first.rows if is_last(file, first) else None)


def _loose(values: list[object], kind: pa.DataType) -> pa.Array:
    """Numbers as text; lists and objects as they are, with null for those that do not fit the type."""
    if not pa.types.is_nested(kind):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return pa.array([value if _fits(value, kind) else None for value in values], kind)


def _fits(value: object, kind: pa.DataType) -> bool:
    try:
        pa.array([value], kind)
    except (pa.ArrowException, OverflowError):
        return False
    return True


def _read(content: bytes, options: pj.ParseOptions) -> pa.Table:
    # One block: the caller passes small pieces, and rows of any length must fit.
    return pj.read_json(
        pa.BufferReader(content), read_options=pj.ReadOptions(block_size=len(content) + 1), parse_options=options
    )
