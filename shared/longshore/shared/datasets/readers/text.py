"""What CSV and JSON Lines have in common: rows have no index, so where shards begin is found by one reading."""

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
from longshore.shared.datasets.segments import MIN_SHARD_ROWS, Segment, choose_rows_per_shard
from longshore.shared.errors import DataError
from longshore.shared.store.address import public

#: Where Arrow says which row it is, it counts from the beginning of the piece.
_ROW = re.compile(r" in row \d+|Row #\d+: ")

Parser: TypeAlias = Callable[[bytes], pa.Table]


class TextFormat(Protocol):
    """How rows are told apart and read."""

    def split(self, content: bytes, last: bool) -> tuple[Positions, int]:
        """See ``lines.Splitter``."""
        ...

    def parse(self, content: bytes, columns: Sequence[str]) -> pa.Table:
        """Rows as a table of some columns, of the types that the schema says.

        :raises pa.ArrowInvalid: a row does not fit.
        """
        ...

    def parse_loosely(self, content: bytes, columns: Sequence[str]) -> pa.Table:
        """The same, with columns of numbers as text: for rows of which some do not fit.

        :raises pa.ArrowInvalid: a row is not even of the file's form. :raises ValueError: likewise.
        """
        ...


@dataclass(frozen=True)
class TextSource:
    """A text file whose first block was read."""

    uri: str
    schema: pa.Schema
    form: TextFormat
    #: Where the first row begins, in bytes.
    begin: int
    #: Known where the first block was the whole file.
    rows: int | None

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        with reading(self.uri), open_bytes(self.uri) as file:
            piece = first_piece(file, self.begin, self.form.split)
            if piece is None:
                return pa.RecordBatch.from_pylist([], schema=self.schema)
            names = self.schema.names
            strictly = partial(self.form.parse, columns=names)
            table = parse_rows(self.uri, piece, 0, strictly, partial(self.form.parse_loosely, columns=names))
        return table.slice(0, rows).combine_chunks().to_batches()[0]

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        step = MIN_SHARD_ROWS if rows_per_shard is None else rows_per_shard
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
        there = set(self.schema.names)
        for column in columns:
            if column not in there:
                raise DataError(f"{public(self.uri)} has no column {column!r}")
        with reading(self.uri):
            yield from rebatch(self._tables(segment, columns, strict), batch_rows)

    def _scan(self, step: int) -> tuple[int, int, list[tuple[int, int]]]:
        """All rows, the byte after them, and (row, byte) of every ``step``-th one."""
        rows, end = 0, self.begin
        marks: list[tuple[int, int]] = []
        with reading(self.uri), open_bytes(self.uri) as file:
            for piece in read_pieces(file, self.begin, None, self.form.split):
                for row in range(-rows % step, piece.rows, step):
                    marks.append((rows + row, piece.offset + int(piece.starts[row])))
                rows += piece.rows
                end = piece.offset + len(piece.content)
        return rows, end, marks

    def _tables(self, segment: Segment, columns: Sequence[str], strict: bool) -> Iterator[pa.Table]:
        if segment.offset is None or segment.length is None:
            raise DataError(
                f"{public(self.uri)}: rows {segment.start} to {segment.stop} come without their place in it"
            )
        row = segment.start
        parse = partial(self.form.parse, columns=columns)
        loosely = partial(self.form.parse_loosely, columns=columns)
        with open_bytes(self.uri) as file:
            check_borders(file, segment.offset, segment.length)
            for piece in read_pieces(file, segment.offset, segment.length, self.form.split):
                if piece.rows:
                    yield parse_rows(self.uri, piece, row, parse, None if strict else loosely).select(list(columns))
                row += piece.rows
        if row != segment.stop:
            raise DataError(
                f"{public(self.uri)}: there are {row - segment.start} rows where {segment.rows} were "
                "when the job was submitted"
            )


def parse_rows(uri: str, piece: Piece, row: int, parse: Parser, otherwise: Parser | None = None) -> pa.Table:
    """All rows of a piece, whose first one is the file's row ``row``.

    :param otherwise: takes rows that ``parse`` does not.
    :raises DataError: names the first row that cannot be read.
    """
    try:
        return _parse(piece, 0, piece.rows, parse)
    except (ValueError, pa.ArrowException) as error:
        if otherwise is not None:
            return parse_rows(uri, piece, row, otherwise)
        bad, why = _first_bad(piece, parse, error)
        raise DataError(f"{public(uri)}, row {row + bad}: {_ROW.sub('', one_line(why))}") from None


def _parse(piece: Piece, start: int, stop: int, parse: Parser) -> pa.Table:
    content = piece.content
    if stop - start < piece.rows:
        end = int(piece.starts[stop]) if stop < piece.rows else len(content)
        content = content[int(piece.starts[start]) : end]
    content.decode()  # Arrow looks only into the columns it is asked for
    table = parse(content)
    if table.num_rows != stop - start:
        raise ValueError(f"{table.num_rows} rows, where its lines say {stop - start}")
    return table


def _first_bad(piece: Piece, parse: Parser, error: Exception) -> tuple[int, Exception]:
    """Which row cannot be read, and why: by halving, as Arrow does not always say it."""
    start, stop = 0, piece.rows
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            # From the first row on: what a column holds may be at odds with the rows before.
            _parse(piece, 0, middle, parse)
        except (ValueError, pa.ArrowException) as found:
            stop, error = middle, found
        else:
            start = middle
    return start, error


def settle_types(schema: pa.Schema) -> pa.Schema:
    """From what Arrow guesses of the first rows to what all rows are read as."""

    def settled(guess: pa.DataType) -> pa.DataType:
        if pa.types.is_null(guess):  # a column that begins empty is more often numbers that are missing than text
            return pa.float64()
        return pa.string() if pa.types.is_temporal(guess) else guess

    return pa.schema([(field.name, settled(field.type)) for field in schema])
