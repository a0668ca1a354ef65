"""Finds the start of each row in a text file, block by block."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from longshore.shared.datasets import bounds

#: How much is read at a time.
BLOCK_BYTES = 4 << 20

Positions: TypeAlias = npt.NDArray[np.int64]
Octets: TypeAlias = npt.NDArray[np.uint8]
#: Takes bytes that begin with a row, and whether the file ends with them. Returns the offsets at which rows begin,
#: without blank lines, and the number of bytes that the complete rows take.
Splitter: TypeAlias = Callable[[bytes, bool], tuple[Positions, int]]

_NEWLINE, _RETURN, _QUOTE, _COMMA = b'\n\r",'
#: The byte order mark, which programs of Windows write before a text in UTF-8.
UTF8_BOM: Final = b"\xef\xbb\xbf"
#: A quoted field: a quote that begins a field, up to the next one that is not doubled.
_QUOTED = re.compile(rb'(?:(?<![^,\r\n]))"[^"]*+(?:""[^"]*+)*+("|\Z)')


@dataclass(frozen=True)
class Piece:
    """A run of complete rows of a text file."""

    content: bytes
    #: Offset of ``content`` in the file, in bytes.
    offset: int
    #: Offset of each row in ``content``, in bytes.
    starts: Positions

    @property
    def rows(self) -> int:
        return len(self.starts)


def read_pieces(
    file: BinaryIO, offset: int, length: int | None, split: Splitter, block: int | None = None
) -> Iterator[Piece]:
    """Read ``length`` bytes from ``offset`` on, or the rest of the file, in pieces of complete rows.

    :param block: how much is read at a time, in bytes. Default: 4 MiB.
    :raises ValueError: the file ends too early, or a row does not end.
    """
    block = BLOCK_BYTES if block is None else block
    file.seek(offset)
    rest, ahead, left = b"", block, length
    while True:
        size = ahead if left is None else min(ahead, left)
        chunk = read_fully(file, size)
        last = len(chunk) < size or left == len(chunk)
        if left is not None:
            left -= len(chunk)
            if left and last:
                raise ValueError(f"it ends {left} bytes too early; it was shortened after the job was submitted")
        content = rest + chunk
        if not content:
            return
        starts, end = split(content, last)
        if end:
            yield Piece(content[:end], offset, starts)
        if last:
            return
        offset, rest = offset + end, content[end:]
        # If no row ended, double the amount, so that a long row is not scanned again and again.
        ahead = block if end else max(block, len(rest))
        if len(rest) > bounds.MAX_ROW_BYTES:
            raise ValueError(
                f"the row at byte {offset} does not end within {bounds.MAX_ROW_BYTES:,} bytes, the most that a row may "
                "have; check for a quote that is not closed"
            )


def first_piece(file: BinaryIO, offset: int, split: Splitter) -> Piece | None:
    """The first piece that has rows; ``None`` if the file has none."""
    return next((piece for piece in read_pieces(file, offset, None, split) if piece.rows), None)


def check_borders(file: BinaryIO, offset: int, length: int) -> None:
    """Check that a byte range still begins and ends at row boundaries.

    :raises ValueError: it does not: the file has changed since its rows were counted.
    """
    for border in (offset, offset + length):
        file.seek(max(border - 1, 0))
        around = file.read(2)
        # Every row but the last must end with a line break; before the first row there can be a byte order mark.
        if border > len(UTF8_BOM) and len(around) == 2 and around[0] not in (_NEWLINE, _RETURN):
            raise ValueError(f"no row begins at byte {border}; the file was rewritten after the job was submitted")


def is_last(file: BinaryIO, piece: Piece) -> bool:
    """Whether a piece is at the end of the file."""
    file.seek(piece.offset + len(piece.content))
    return not file.read(1)


def split_json_lines(content: bytes, last: bool) -> tuple[Positions, int]:
    """Split JSON Lines: every line is a row, except lines of only white space."""
    octets = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(octets == _NEWLINE)
    starts, ends, end = _lines(ends, len(content), last)
    filled = np.ones(len(starts), np.bool_)
    for line in np.flatnonzero(octets[starts] <= ord(" ")):
        filled[line] = bool(content[starts[line] : ends[line]].strip())
    return starts[filled], end


def split_delimited(content: bytes, last: bool) -> tuple[Positions, int]:
    """Split CSV: every line is a row, except empty lines. Line breaks inside quotes do not end a row.

    :raises ValueError: the file ends inside quotes.
    """
    octets = np.frombuffer(content, np.uint8)
    ends = _line_ends(octets, last)
    quotes = _quotes(octets, content)
    if len(quotes):
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
        if last and len(quotes) % 2:
            raise ValueError("it ends inside quotes")
    starts, ends, end = _lines(ends, len(content), last)
    lengths = ends - starts
    empty = (lengths == 0) | ((lengths == 1) & (octets[starts] == _RETURN))
    return starts[~empty], end


def _lines(ends: Positions, size: int, last: bool) -> tuple[Positions, Positions, int]:
    """The offsets at which lines begin and end, and the bytes they take. The end of the file also ends a line."""
    end = int(ends[-1]) + 1 if len(ends) else 0
    if last and end < size:
        ends, end = np.append(ends, size), size
    starts = np.empty_like(ends)
    starts[:1], starts[1:] = 0, ends[:-1] + 1
    return starts, ends, end


def _line_ends(octets: Octets, last: bool) -> Positions:
    """The last byte of each line break: a line feed, or a carriage return that no line feed follows."""
    breaks = octets == _NEWLINE
    returns = octets == _RETURN
    if returns.any():
        alone = returns.copy()
        alone[:-1] &= ~breaks[1:]
        # The byte after the block is not known yet.
        alone[-1] &= last
        breaks |= alone
    return np.flatnonzero(breaks)


def _quotes(octets: Octets, content: bytes) -> Positions:
    """The quotes that open and close fields, alternating: the bytes between such a pair are quoted."""
    quotes = np.flatnonzero(octets == _QUOTE)
    opening = quotes[::2]
    before = octets[opening - 1]
    proper = (opening == 0) | (before == _COMMA) | (before == _NEWLINE) | (before == _RETURN)
    # The second quote of a doubled quote reopens the field that the first one closed.
    proper[1:] |= quotes[1::2][: len(opening) - 1] == opening[1:] - 1
    if proper.all():
        return quotes
    # A quote inside an unquoted field is an ordinary character: examine each field.
    positions: list[int] = []
    for field in _QUOTED.finditer(content):
        positions.append(field.start())
        if field.group(1):
            positions.append(field.start(1))
    return np.array(positions, np.int64)


def first_offset(file: BinaryIO) -> int:
    """Where the first row can begin: after a byte order mark."""
    return len(UTF8_BOM) if file.read(len(UTF8_BOM)) == UTF8_BOM else 0


def read_fully(file: BinaryIO, size: int) -> bytes:
    """``size`` bytes, or the rest of the file. A single read of an unbuffered file may return fewer."""
    chunks = []
    while size and (chunk := file.read(size)):
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)
