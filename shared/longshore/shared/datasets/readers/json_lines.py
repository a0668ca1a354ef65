"""Reads rows of a JSON Lines file: one object per line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.json as pj

from longshore.shared.datasets.columns.json_values import JSON, is_json, json_column
from longshore.shared.datasets.files import open_bytes, reading
from longshore.shared.datasets.outputs.json_text import json_texts
from longshore.shared.datasets.readers.json_objects import column_of, infer_types, read_objects
from longshore.shared.datasets.readers.lines import Positions, first_offset, first_piece, is_last, split_json_lines
from longshore.shared.datasets.readers.text import TextSource, parse_rows
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError
from longshore.shared.store.address import public

#: A line that begins with null.
_NULL_ROW = re.compile(rb"(?:\A|\n)\s*null")


@dataclass(frozen=True)
class JsonLines:
    """Parses the rows of one JSON Lines file."""

    #: The types that Arrow inferred from the first block.
    inferred: pa.Schema

    def split(self, content: bytes, last: bool) -> tuple[Positions, int]:
        return split_json_lines(content, last)

    def types(self, uses: ColumnUses) -> pa.Schema:
        return pa.schema([(field.name, _type(field, uses)) for field in self.inferred])

    def parse(self, content: bytes, schema: pa.Schema) -> pa.Table:
        fields = [(field.name, _parsed_as(self.inferred.field(field.name).type, field.type)) for field in schema]
        parsed = [(name, kind) for name, kind in fields if kind is not None]
        options = pj.ParseOptions(explicit_schema=pa.schema(parsed), unexpected_field_behavior="ignore")
        table = _read(content, options) if parsed else None
        others = [name for name, kind in fields if kind is None]
        rows = read_objects(content) if others else []
        columns = []
        for field in schema:
            if table is None or field.name in others:
                column = column_of([row.get(field.name) for row in rows], field.type)
                if column.type != field.type:
                    raise ValueError(f"a value of {field.name!r} does not fit")
            else:
                column = _converted(table[field.name], field.type)
            columns.append(column)
        return pa.table(columns, names=schema.names)

    def parse_singly(self, content: bytes, schema: pa.Schema) -> pa.Table:
        rows = read_objects(content)
        columns = [column_of([row.get(field.name) for row in rows], field.type) for field in schema]
        return pa.table(columns, names=schema.names)


def open_json_lines(uri: str) -> TextSource:
    """Open a JSON Lines file: reads the first block to infer the columns and types.

    :raises DataError: the file cannot be read, has no rows, or does not begin with objects.
    """
    with reading(uri), open_bytes(uri) as file:
        begin = first_offset(file)
        first = first_piece(file, begin, split_json_lines)
        if first is None:
            raise DataError(f"{public(uri)} has no rows")
        try:
            inferred = parse_rows(uri, first, 0, partial(_read, options=pj.ParseOptions())).schema
        except DataError:
            # Arrow also refuses values of several kinds in a column, so that the row it names may be a good one.
            parse_rows(uri, first, 0, _count)
            inferred = infer_types(read_objects(first.content))
        return TextSource(uri, JsonLines(inferred), begin, first.rows if is_last(file, first) else None)


def _count(content: bytes) -> pa.Table:
    """A table of as many rows as there are objects."""
    return pa.table({"row": range(len(read_objects(content)))})


def _type(field: pa.Field, uses: ColumnUses) -> pa.DataType:
    """The type that a column is read as, from the type that Arrow inferred and the use of the column."""
    name, inferred = field.name, field.type
    nested = pa.types.is_list(inferred)
    # Decimals are quantities. Whole numbers may turn out to be labels, and text may too.
    if name in uses.written or (name == uses.target and not nested and not pa.types.is_floating(inferred)):
        return JSON
    if name in uses.texts:
        return pa.string()
    if name in uses.lists and (nested or name not in uses.numbers):
        return _settled(inferred) if nested else pa.list_(pa.float64())
    return pa.float64() if name in uses.numbers else _settled(inferred)


def _settled(inferred: pa.DataType) -> pa.DataType:
    """The type that all rows are read as: numbers are floats, and dates are text."""
    kinds = pa.types
    if kinds.is_list(inferred):
        leaf = inferred.value_type
        return pa.list_(leaf if kinds.is_boolean(leaf) else _settled(leaf))
    if kinds.is_struct(inferred):
        return pa.struct([(field.name, _settled(field.type)) for field in inferred])
    return pa.string() if kinds.is_temporal(inferred) or kinds.is_string(inferred) else pa.float64()


def _parsed_as(inferred: pa.DataType, kind: pa.DataType) -> pa.DataType | None:
    """The type that Arrow parses a column as; ``None`` if Arrow cannot, or would change the values."""
    kinds = pa.types
    text = kinds.is_string(inferred) or kinds.is_temporal(inferred)
    if is_json(kind):
        exact = text or kinds.is_integer(inferred) or kinds.is_boolean(inferred)
        return pa.string() if text else inferred if exact else None
    if kinds.is_string(kind):
        return kind if text or kinds.is_null(inferred) else None
    if kinds.is_floating(kind):
        if kinds.is_boolean(inferred):
            return inferred
        number = kinds.is_integer(inferred) or kinds.is_floating(inferred) or kinds.is_null(inferred)
        return kind if number else None
    # Arrow ignores keys of objects inside a row that are not in its schema.
    return None if _has_struct(kind) else kind


def _has_struct(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) or (pa.types.is_list(kind) and _has_struct(kind.value_type))


def _converted(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if not is_json(kind):
        return column if column.type == kind else column.cast(kind)
    array = column.combine_chunks()
    return json_column(json_texts(array))


def _read(content: bytes, options: pj.ParseOptions) -> pa.Table:
    # Arrow takes null for a row of nulls, and crashes if it is the first one.
    if b"null" in content and _NULL_ROW.search(content):
        raise ValueError("null is not an object")
    # One block: the caller passes small pieces, and rows of any length must fit.
    return pj.read_json(
        pa.BufferReader(content), read_options=pj.ReadOptions(block_size=len(content) + 1), parse_options=options
    )
