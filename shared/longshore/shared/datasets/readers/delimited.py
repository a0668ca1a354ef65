"""Reads rows of a CSV file (RFC 4180): a header, commas, double quotes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pc

from longshore.shared.datasets import bounds
from longshore.shared.datasets.columns.number_texts import to_numbers
from longshore.shared.datasets.files import open_bytes, reading
from longshore.shared.datasets.readers.lines import UTF8_BOM, Positions, first_piece, is_last, split_delimited
from longshore.shared.datasets.readers.text import TextSource, parse_rows
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError
from longshore.shared.store.address import public

_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_PARSE = pc.ParseOptions(newlines_in_values=True)


@dataclass(frozen=True)
class Delimited:
    """Parses the rows of one CSV file."""

    #: The types that Arrow inferred from the first block.
    inferred: pa.Schema

    def split(self, content: bytes, last: bool) -> tuple[Positions, int]:
        return split_delimited(content, last)

    def types(self, uses: ColumnUses) -> pa.Schema:
        return pa.schema([(field.name, _type(field, uses)) for field in self.inferred])

    def parse(self, content: bytes, schema: pa.Schema) -> pa.Table:
        types = {field.name: _parsed_as(self.inferred.field(field.name).type, field.type) for field in schema}
        table = _read(content, self.inferred.names, _options(types))
        return pa.table([_converted(table[field.name], field.type) for field in schema], names=schema.names)

    def parse_singly(self, content: bytes, schema: pa.Schema) -> pa.Table:
        table = _read(content, self.inferred.names, _options(dict.fromkeys(schema.names, pa.string())))
        columns = []
        for field in schema:
            texts = table[field.name].combine_chunks()
            if pa.types.is_string(field.type):
                columns.append(texts)
                continue
            numbers = to_numbers(texts)
            columns.append(texts if len(numbers.bad) else numbers.values)
        return pa.table(columns, names=schema.names)


def open_delimited(uri: str) -> TextSource:
    """Open a CSV file: reads the header, and the first block to infer the types.

    :raises DataError: the file cannot be read, or its header is not valid.
    """
    with reading(uri), open_bytes(uri) as file:
        names, begin = _header(uri, file)
        first = first_piece(file, begin, split_delimited)
        if first is None:
            return _source(uri, pa.schema([(name, pa.float64()) for name in names]), begin, 0)
        inferred = parse_rows(uri, first, 0, partial(_read, names=names, convert=pc.ConvertOptions())).schema
        return _source(uri, inferred, begin, first.rows if is_last(file, first) else None)


def _source(uri: str, inferred: pa.Schema, begin: int, rows: int | None) -> TextSource:
    return TextSource(uri, Delimited(inferred), begin, rows)


def _type(field: pa.Field, uses: ColumnUses) -> pa.DataType:
    """The type that a column is read as: a number or text, from its use, or else from the first block."""
    name = field.name
    if name in uses.texts or name in uses.written or name == uses.target:
        return pa.string()
    kinds = pa.types
    # A column that starts empty more often has missing numbers than text.
    numeric = any(test(field.type) for test in (kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_null))
    return pa.float64() if numeric or name in uses.numbers or name in uses.lists else pa.string()


def _parsed_as(inferred: pa.DataType, kind: pa.DataType) -> pa.DataType:
    """The type that Arrow parses a column as: one that most likely all its values fit."""
    if pa.types.is_string(kind):
        return kind
    if pa.types.is_boolean(inferred):
        return inferred
    numeric = pa.types.is_integer(inferred) or pa.types.is_floating(inferred) or pa.types.is_null(inferred)
    return kind if numeric else pa.string()


def _converted(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if column.type == kind:
        return column
    if not pa.types.is_string(column.type):
        return column.cast(kind)
    numbers = to_numbers(column.combine_chunks())
    if len(numbers.bad):
        raise ValueError("a text is not a number")
    return numbers.values


def _options(types: dict[str, pa.DataType]) -> pc.ConvertOptions:
    return pc.ConvertOptions(include_columns=list(types), column_types=types)


def _header(uri: str, file: BinaryIO) -> tuple[list[str], int]:
    """The column names, and the offset of the byte after the header."""
    first = first_piece(file, 0, split_delimited)
    if first is None:
        raise DataError(f"{public(uri)} has no header: it is empty")
    if first.content.startswith(_UTF16_BOMS):
        raise DataError(f"{public(uri)} is UTF-16; save it as UTF-8")
    end = int(first.starts[1]) if first.rows > 1 else len(first.content)
    header = first.content[int(first.starts[0]) : end].removeprefix(UTF8_BOM)
    if header.count(b",") >= bounds.MAX_COLUMNS:
        raise DataError(
            f"{public(uri)}: the header has {header.count(b',') + 1:,} columns, and at most {bounds.MAX_COLUMNS:,} are "
            "read; check that the file is CSV, or write lists to Parquet"
        )
    names = [str(name) for name in pc.read_csv(pa.BufferReader(header), parse_options=_PARSE).column_names]
    repeated, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise DataError(f"{public(uri)}: the header has {repeated!r} {times} times")
    return names, first.offset + end


def _read(content: bytes, names: list[str], convert: pc.ConvertOptions) -> pa.Table:
    # One block: the caller passes small pieces, and rows of any length must fit.
    options = pc.ReadOptions(column_names=names, block_size=len(content) + 1)
    return pc.read_csv(pa.BufferReader(content), read_options=options, parse_options=_PARSE, convert_options=convert)
