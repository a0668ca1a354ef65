"""Reads rows of a CSV file (RFC 4180): a header, commas, double quotes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pc

from longshore.shared.datasets.files import open_bytes, reading
from longshore.shared.datasets.readers.lines import Positions, first_piece, is_last, split_delimited
from longshore.shared.datasets.readers.text import TextSource, parse_rows, settle_types
from longshore.shared.errors import DataError
from longshore.shared.store.address import public

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_PARSE = pc.ParseOptions(newlines_in_values=True)


@dataclass(frozen=True)
class Delimited:
    """Parses the rows of one CSV file."""

    schema: pa.Schema

    def split(self, content: bytes, last: bool) -> tuple[Positions, int]:
        return split_delimited(content, last)

    def parse(self, content: bytes, columns: Sequence[str]) -> pa.Table:
        convert = pc.ConvertOptions(
            include_columns=list(columns),
            column_types={column: self.schema.field(column).type for column in columns},
        )
        return _read(content, self.schema.names, convert)

    def parse_loosely(self, content: bytes, columns: Sequence[str]) -> pa.Table:
        convert = pc.ConvertOptions(
            include_columns=list(columns),
            column_types={column: pa.string() for column in columns},
            strings_can_be_null=True,
        )
        return _read(content, self.schema.names, convert)


def open_delimited(uri: str) -> TextSource:
    """Open a CSV file: reads the header, and the first block to infer the types.

    :raises DataError: the file cannot be read, or its header is not valid.
    """
    with reading(uri), open_bytes(uri) as file:
        names, begin = _header(uri, file)
        first = first_piece(file, begin, split_delimited)
        if first is None:
            return _source(uri, pa.schema([(name, pa.float64()) for name in names]), begin, 0)
        schema = parse_rows(uri, first, 0, partial(_read, names=names, convert=pc.ConvertOptions())).schema
        return _source(uri, settle_types(schema), begin, first.rows if is_last(file, first) else None)


def _source(uri: str, schema: pa.Schema, begin: int, rows: int | None) -> TextSource:
    return TextSource(uri, schema, Delimited(schema), begin, rows)


def _header(uri: str, file: BinaryIO) -> tuple[list[str], int]:
    """The column names, and the offset of the byte after the header."""
    first = first_piece(file, 0, split_delimited)
    if first is None:
        raise DataError(f"{public(uri)} has no header: it is empty")
    if first.content.startswith(_UTF16_BOMS):
        raise DataError(f"{public(uri)} is UTF-16; save it as UTF-8")
    end = int(first.starts[1]) if first.rows > 1 else len(first.content)
    header = first.content[int(first.starts[0]) : end].removeprefix(_UTF8_BOM)
    names = [str(name) for name in pc.read_csv(pa.BufferReader(header), parse_options=_PARSE).column_names]
    repeated, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise DataError(f"{public(uri)}: the header has {repeated!r} {times} times")
    return names, first.offset + end


def _read(content: bytes, names: list[str], convert: pc.ConvertOptions) -> pa.Table:
    # One block: the caller passes small pieces, and rows of any length must fit.
    options = pc.ReadOptions(column_names=names, block_size=len(content) + 1)
    return pc.read_csv(pa.BufferReader(content), read_options=options, parse_options=_PARSE, convert_options=convert)
