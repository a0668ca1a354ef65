"""The common part of CSV and JSON Lines: rows have no index, so one pass over the file finds where shards begin."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

import pyarrow as pa

from longshore.shared import limits
from longshore.shared.datasets.columns.json_values import is_json
from longshore.shared.datasets.columns.number_texts import to_numbers
from longshore.shared.datasets.columns.types import type_name
from longshore.shared.datasets.files import one_line, open_bytes, reading
from longshore.shared.datasets.readers.json_objects import json_fits
from longshore.shared.datasets.readers.lines import Piece, Positions, check_borders, first_piece, read_pieces
from longshore.shared.datasets.rebatch import rebatch
from longshore.shared.datasets.segments import MAX_ROWS_PER_SHARD, MIN_ROWS_PER_SHARD, Segment, choose_rows_per_shard
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.specs.validation import shorten
from longshore.shared.store.address import public

#: The row number in Arrow's messages, which counts from the start of the piece instead of the file.
_ROW = re.compile(r" in row \d+|Row #\d+: ")

_NO_USES = ColumnUses()

Parser: TypeAlias = Callable[[bytes], pa.Table]


class TextFormat(Protocol):
    """Splits the bytes of a text format into rows, and parses them."""

    def split(self, content: bytes, last: bool) -> tuple[Positions, int]:
        """See ``lines.Splitter``."""
        ...

    def types(self, uses: ColumnUses) -> pa.Schema:
        """The types that all rows of the file are read as. They depend on the first block only for columns without a
        use."""
        ...

    def parse(self, content: bytes, schema: pa.Schema) -> pa.Table:
        """Parse the columns of a schema, fast.

        :raises pa.ArrowInvalid: a value does not fit, or a row does not have the syntax of the format.
        :raises ValueError: likewise.
        """
        ...

    def parse_singly(self, content: bytes, schema: pa.Schema) -> pa.Table:
        """Parse each value by itself. Every column whose values all fit is as ``parse`` reads it, whatever the other
        columns have. A column of numbers with a value that does not fit is returned as text, and one of lists or
        objects as JSON texts; ``columns.numbers.convert`` finds the bad rows in these.

        :raises pa.ArrowInvalid: a row does not have the syntax of the format.
        :raises ValueError: likewise.
        """
        ...


@dataclass(frozen=True)
class TextSource:
    """A text file whose first block has been read."""

    uri: str
    format: TextFormat
    #: Offset of the first row, in bytes.
    begin: int
    #: The number of rows; ``None`` if the file is longer than the first block.
    rows: int | None
    uses: ColumnUses = _NO_USES

    @property
    def schema(self) -> pa.Schema:
        return self.format.types(self.uses)

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        schema = self.schema
        with reading(self.uri), open_bytes(self.uri) as file:
            piece = first_piece(file, self.begin, self.format.split)
            if piece is None:
                return pa.RecordBatch.from_pylist([], schema=schema)
            table = self._table(piece, 0, schema, strict=False)
        return table.slice(0, rows).combine_chunks().to_batches()[0]

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        step = MIN_ROWS_PER_SHARD if rows_per_shard is None else rows_per_shard
        # At the smallest step, those of larger shards are picked from the marks later.
        coarser = MAX_ROWS_PER_SHARD // step if rows_per_shard is None else 1
        rows, end, marks = self._scan(step, limits.MAX_SHARDS * coarser)
        if rows_per_shard is None:
            every = -(-choose_rows_per_shard(rows) // step)
            marks = marks[::every]
        marks.append((rows, end))
        return [
            Segment(start, stop, offset, after - offset)
            for (start, offset), (stop, after) in itertools.pairwise(marks)
            if stop > start
        ]

    def batches(
        self, segment: Segment, columns: Sequence[str], batch_rows: int, strict: bool = True
    ) -> Iterator[pa.RecordBatch]:
        names = set(self.schema.names)
        for column in columns:
            if column not in names:
                raise DataError(f"{public(self.uri)} has no column {column!r}")
        with reading(self.uri):
            yield from rebatch(self._tables(segment, columns, strict), batch_rows)

    def _scan(self, step: int, most: int) -> tuple[int, int, list[tuple[int, int]]]:
        """The number of rows, the offset after the last one, and (row, offset) of every ``step``-th row.

        :raises InvalidInput: these are more than ``most``.
        """
        rows, end = 0, self.begin
        marks: list[tuple[int, int]] = []
        with reading(self.uri), open_bytes(self.uri) as file:
            for piece in read_pieces(file, self.begin, None, self.format.split):
                for row in range(-rows % step, piece.rows, step):
                    marks.append((rows + row, piece.offset + int(piece.starts[row])))
                if len(marks) > most:
                    raise InvalidInput("rows_per_shard", _too_many(rows + piece.rows, step * most))
                rows += piece.rows
                end = piece.offset + len(piece.content)
        return rows, end, marks

    def _tables(self, segment: Segment, columns: Sequence[str], strict: bool) -> Iterator[pa.Table]:
        if segment.offset is None or segment.length is None:
            raise DataError(f"{public(self.uri)}: the byte offset of rows {segment.start} to {segment.stop} is missing")
        row = segment.start
        types = self.schema
        schema = pa.schema([types.field(column) for column in columns])
        with open_bytes(self.uri) as file:
            check_borders(file, segment.offset, segment.length)
            for piece in read_pieces(file, segment.offset, segment.length, self.format.split):
                if piece.rows:
                    yield self._table(piece, row, schema, strict)
                row += piece.rows
        if row != segment.stop:
            raise DataError(
                f"{public(self.uri)}: a shard has {row - segment.start} rows, but had {segment.rows} "
                "when the job was submitted"
            )

    def _table(self, piece: Piece, row: int, schema: pa.Schema, strict: bool) -> pa.Table:
        """The rows of a piece; ``row`` is the number of the first.

        :raises DataError: a row does not have the syntax of the format or, if ``strict``, a value does not fit.
        """
        try:
            return _parse(piece, 0, piece.rows, partial(self.format.parse, schema=schema))
        except (ValueError, pa.ArrowException):
            # Read every value by itself: one that does not fit must not change how others are read.
            table = parse_rows(self.uri, piece, row, partial(self.format.parse_singly, schema=schema))
        misfits = [misfit for field in schema if (misfit := _first_misfit(table[field.name], field)) is not None]
        if strict and misfits:
            first, reason = min(misfits)
            raise DataError(f"{public(self.uri)}, row {row + first}: {reason}")
        return table


def _too_many(rows: int, most: int) -> str:
    return (
        f"more than {most:,} rows ({rows:,} were counted) would be more than {limits.MAX_SHARDS:,} shards; give more "
        "rows per shard, or split the file"
    )


def _first_misfit(column: pa.ChunkedArray, field: pa.Field) -> tuple[int, str] | None:
    """The first row whose value does not fit the type of its column, and why; ``None`` if all fit."""
    if column.type == field.type:
        return None
    array = column.combine_chunks()
    if is_json(column.type):
        values = enumerate(array.storage.to_pylist())
        row, text = next((row, text) for row, text in values if not json_fits(text, field.type))
        return row, f"column {field.name!r}: {shorten(text)} is not {type_name(field.type)}"
    row = int(to_numbers(array).bad[0])
    return row, f"column {field.name!r}: {shorten(array[row].as_py())} is not a number"


def parse_rows(uri: str, piece: Piece, row: int, parse: Parser) -> pa.Table:
    """Parse all rows of a piece.

    :param row: the number of its first row in the file, for errors.
    :raises DataError: a row cannot be read; names the first such row.
    """
    try:
        return _parse(piece, 0, piece.rows, parse)
    except (ValueError, pa.ArrowException) as error:
        bad_row, cause = _first_bad_row(piece, parse, error)
        raise DataError(f"{public(uri)}, row {row + bad_row}: {_ROW.sub('', one_line(cause))}") from None


def _parse(piece: Piece, start: int, stop: int, parse: Parser) -> pa.Table:
    content = piece.content
    if stop - start < piece.rows:
        end = int(piece.starts[stop]) if stop < piece.rows else len(content)
        content = content[int(piece.starts[start]) : end]
    content.decode()  # Arrow validates only the requested columns
    table = parse(content)
    if table.num_rows != stop - start:
        raise ValueError(f"parsed {table.num_rows} rows from {stop - start} lines")
    return table


def _first_bad_row(piece: Piece, parse: Parser, error: Exception) -> tuple[int, Exception]:
    """The first row that cannot be read, and the cause: by bisection, because Arrow does not always say which."""
    start, stop = 0, piece.rows
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            # Always from the first row: a value may only conflict with the rows before it.
            _parse(piece, 0, middle, parse)
        except (ValueError, pa.ArrowException) as cause:
            stop, error = middle, cause
        else:
            start = middle
    return start, error
