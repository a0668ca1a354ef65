"""The common part of CSV and JSON Lines: rows have no index, so one pass over the file finds where shards begin."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

import pyarrow as pa

from longshore.shared.datasets.files import one_line, open_bytes, reading
from longshore.shared.datasets.readers.lines import Piece, Positions, check_borders, first_piece, read_pieces
from longshore.shared.datasets.rebatch import rebatch
from longshore.shared.datasets.segments import MIN_ROWS_PER_SHARD, Segment, choose_rows_per_shard
from longshore.shared.errors import DataError
from longshore.shared.store.address import public

#: The row number in Arrow's messages, which counts from the start of the piece instead of the file.
_ROW = re.compile(r" in row \d+|Row #\d+: ")

Parser: TypeAlias = Callable[[bytes], pa.Table]


class TextFormat(Protocol):
    """Splits the bytes of a text format into rows, and parses them."""

    def split(self, content: bytes, last: bool) -> tuple[Positions, int]:
        """See ``lines.Splitter``."""
        ...

    def parse(self, content: bytes, columns: Sequence[str]) -> pa.Table:
        """Parse rows into a table of the given columns, with the types of the schema.

        :raises pa.ArrowInvalid: a row does not fit.
        """
        ...

    def parse_loosely(self, content: bytes, columns: Sequence[str]) -> pa.Table:
        """Parse rows of which some do not fit: columns of numbers are returned as text.

        :raises pa.ArrowInvalid: a row does not even have the syntax of the format.
        :raises ValueError: a row does not even have the syntax of the format.
        """
        ...


@dataclass(frozen=True)
class TextSource:
    """A text file whose first block has been read."""

    uri: str
    schema: pa.Schema
    format: TextFormat
    #: Offset of the first row, in bytes.
    begin: int
    #: The number of rows; ``None`` if the file is longer than the first block.
    rows: int | None

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        with reading(self.uri), open_bytes(self.uri) as file:
            piece = first_piece(file, self.begin, self.format.split)
            if piece is None:
                return pa.RecordBatch.from_pylist([], schema=self.schema)
            names = self.schema.names
            strictly = partial(self.format.parse, columns=names)
            table = parse_rows(self.uri, piece, 0, strictly, partial(self.format.parse_loosely, columns=names))
        return table.slice(0, rows).combine_chunks().to_batches()[0]

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        step = MIN_ROWS_PER_SHARD if rows_per_shard is None else rows_per_shard
        rows, end, marks = self._scan(step)
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

    def _scan(self, step: int) -> tuple[int, int, list[tuple[int, int]]]:
        """The number of rows, the offset after the last one, and (row, offset) of every ``step``-th row."""
        rows, end = 0, self.begin
        marks: list[tuple[int, int]] = []
        with reading(self.uri), open_bytes(self.uri) as file:
            for piece in read_pieces(file, self.begin, None, self.format.split):
                for row in range(-rows % step, piece.rows, step):
                    marks.append((rows + row, piece.offset + int(piece.starts[row])))
                rows += piece.rows
                end = piece.offset + len(piece.content)
        return rows, end, marks

    def _tables(self, segment: Segment, columns: Sequence[str], strict: bool) -> Iterator[pa.Table]:
        if segment.offset is None or segment.length is None:
            raise DataError(f"{public(self.uri)}: the byte offset of rows {segment.start} to {segment.stop} is missing")
        row = segment.start
        parse = partial(self.format.parse, columns=columns)
        loosely = partial(self.format.parse_loosely, columns=columns)
        with open_bytes(self.uri) as file:
            check_borders(file, segment.offset, segment.length)
            for piece in read_pieces(file, segment.offset, segment.length, self.format.split):
                if piece.rows:
                    yield parse_rows(self.uri, piece, row, parse, None if strict else loosely).select(list(columns))
                row += piece.rows
        if row != segment.stop:
            raise DataError(
                f"{public(self.uri)}: a shard has {row - segment.start} rows, but had {segment.rows} "
                "when the job was submitted"
            )


def parse_rows(uri: str, piece: Piece, row: int, parse: Parser, fallback: Parser | None = None) -> pa.Table:
    """Parse all rows of a piece.

    :param row: the number of its first row in the file, for errors.
    :param fallback: parses the piece if ``parse`` fails.
    :raises DataError: a row cannot be read; names the first such row.
    """
    try:
        return _parse(piece, 0, piece.rows, parse)
    except (ValueError, pa.ArrowException) as error:
        if fallback is not None:
            return parse_rows(uri, piece, row, fallback)
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


def settle_types(schema: pa.Schema) -> pa.Schema:
    """The types that all rows are read as, from the types that Arrow inferred from the first rows."""

    def settled(inferred: pa.DataType) -> pa.DataType:
        if pa.types.is_null(inferred):  # a column that starts empty more often has missing numbers than text
            return pa.float64()
        return pa.string() if pa.types.is_temporal(inferred) else inferred

    return pa.schema([(field.name, settled(field.type)) for field in schema])
