"""Where the rows of a text file begin, found a block at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

#: Bytes read at a time.
BLOCK = 4 << 20
#: The longest row, in bytes: past it, a quote that is never closed is likelier than a row.
LONGEST = 256 << 20

Positions: TypeAlias = npt.NDArray[np.int64]
Octets: TypeAlias = npt.NDArray[np.uint8]
#: From some bytes that begin with a row, and whether the file ends with them, to where its rows (not its blank lines)
#: begin, and how many bytes its whole rows take.
Splitter: TypeAlias = Callable[[bytes, bool], tuple[Positions, int]]

_NEWLINE, _RETURN, _QUOTE, _COMMA = b'\n\r",'
#: Bytes of the mark that UTF-8 can begin with.
_MARK = 3
#: A quoted field: a quote that begins a field, up to the next one that is not doubled.
_QUOTED = re.compile(rb'(?:(?<![^,\r\n]))"[^"]*+(?:""[^"]*+)*+("|\Z)')


@dataclass(frozen=True)
class Piece:
    """Some whole rows of a text file."""

    content: bytes
    #: Where ``content`` begins in the file, in bytes.
    offset: int
    #: Where each row begins in ``content``.
    starts: Positions

    @property
    def rows(self) -> int:
        return len(self.starts)


def read_pieces(
    file: BinaryIO, offset: int, length: int | None, split: Splitter, block: int = BLOCK
) -> Iterator[Piece]:
    """The bytes from ``offset`` on, ``length`` of them or all, in pieces of whole rows.

    :param block: bytes read at a time.
    :raises ValueError: there are fewer bytes, or a row does not end.
    """
    file.seek(offset)
    rest, ahead, left = b"", block, length
    while True:
        size = ahead if left is None else min(ahead, left)
        chunk = _read(file, size)
        last = len(chunk) < size or left == len(chunk)
        if left is not None:
            left -= len(chunk)
            if left and last:
                raise ValueError(f"it ends {left} bytes too early; it was shortened since the job was submitted")
        content = rest + chunk
        if not content:
            return
        starts, end = split(content, last)
        if end:
            yield Piece(content[:end], offset, starts)
        if last:
            return
        offset, rest = offset + end, content[end:]
        # Where no row ended, read as much again, so that a long row is not looked through over and over.
        ahead = block if end else max(block, len(rest))
        if len(rest) > LONGEST:
            raise ValueError(f"the row at byte {offset} does not end; is there a quote that is never closed?")


def first_piece(file: BinaryIO, offset: int, split: Splitter) -> Piece | None:
    """The first piece that has rows; ``None`` if there are none."""
    return next((piece for piece in read_pieces(file, offset, None, split) if piece.rows), None)


def check_borders(file: BinaryIO, offset: int, length: int) -> None:
    """:raises ValueError: some bytes do not begin and end with rows any more, as they did when they were counted."""
    for border in (offset, offset + length):
        file.seek(max(border - 1, 0))
        around = file.read(2)
        # A row ends with a line break, but the last one need not; and nothing but a mark is before the first.
        if border > _MARK and len(around) == 2 and around[0] not in (_NEWLINE, _RETURN):
            raise ValueError(f"no row begins at byte {border}; it was written again since the job was submitted")


def is_last(file: BinaryIO, piece: Piece) -> bool:
    """Whether the file ends with a piece."""
    file.seek(piece.offset + len(piece.content))
    return not file.read(1)


def split_json_lines(content: bytes, last: bool) -> tuple[Positions, int]:
    """A row a line; lines of white space alone are none."""
    octets = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(octets == _NEWLINE)
    starts, ends, end = _lines(ends, len(content), last)
    filled = np.ones(len(starts), np.bool_)
    for line in np.flatnonzero(octets[starts] <= ord(" ")):
        filled[line] = bool(content[starts[line] : ends[line]].strip())
    return starts[filled], end


def split_delimited(content: bytes, last: bool) -> tuple[Positions, int]:
    """A row a line, but that line breaks within quotes do not count; empty lines are none.

    :raises ValueError: the file ends within quotes.
    """
    octets = np.frombuffer(content, np.uint8)
    ends = _line_ends(octets, last)
    quotes = _quotes(octets, content)
    if len(quotes):
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
        if last and len(quotes) % 2:
            raise ValueError("it ends within quotes")
    starts, ends, end = _lines(ends, len(content), last)
    lengths = ends - starts
    empty = (lengths == 0) | ((lengths == 1) & (octets[starts] == _RETURN))
    return starts[~empty], end


def _lines(ends: Positions, size: int, last: bool) -> tuple[Positions, Positions, int]:
    """Where lines begin, where they end, and the bytes they take; the end of the file ends a line, too."""
    end = int(ends[-1]) + 1 if len(ends) else 0
    if last and end < size:
        ends, end = np.append(ends, size), size
    starts = np.empty_like(ends)
    starts[:1], starts[1:] = 0, ends[:-1] + 1
    return starts, ends, end


def _line_ends(octets: Octets, last: bool) -> Positions:
    """The last byte of each line break: a line feed, or a carriage return that none follows."""
    breaks = octets == _NEWLINE
    returns = octets == _RETURN
    if returns.any():
        alone = returns.copy()
        alone[:-1] &= ~breaks[1:]
        # What follows the last byte is not known yet.
        alone[-1] &= last
        breaks |= alone
    return np.flatnonzero(breaks)


def _quotes(octets: Octets, content: bytes) -> Positions:
    """The quotes that open and close fields, in turn: what lies between two such is quoted."""
    quotes = np.flatnonzero(octets == _QUOTE)
    opening = quotes[::2]
    before = octets[opening - 1]
    proper = (opening == 0) | (before == _COMMA) | (before == _NEWLINE) | (before == _RETURN)
    # The second of a doubled quote opens again what the first one closed.
    proper[1:] |= quotes[1::2][: len(opening) - 1] == opening[1:] - 1
    if proper.all():
        return quotes
    # A quote within a field that does not begin with one is a character like any other: look at each field.
    found: list[int] = []
    for field in _QUOTED.finditer(content):
        found.append(field.start())
        if field.group(1):
            found.append(field.start(1))
    return np.array(found, np.int64)


def _read(file: BinaryIO, size: int) -> bytes:
    """``size`` bytes, or what is left: an unbuffered file may give fewer at a time."""
    chunks = []
    while size and (chunk := file.read(size)):
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)
