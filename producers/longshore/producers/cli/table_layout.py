"""Laying out a table so that it fits a width: columns are left out by rank, and texts are cut or wrapped.

It prints nothing: see :func:`longshore.producers.cli.output.print_table`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Spaces between two columns.
GAP = 2
ELLIPSIS = "…"
#: Before a column of a higher rank than this is shown, the cut columns of lower ranks get up to this many characters.
ESSENTIAL_RANK, GOOD_WIDTH = 5, 24
#: Words of up to this many characters are never broken: an id has 36.
MAX_WORD = 40
_NUMBER = re.compile(r"[-+]?[\d,.]+%?|")


@dataclass(frozen=True)
class TableColumn:
    """A column of a table. By default it is always shown, in full."""

    header: str
    #: If a table is too wide, columns of a higher rank are left out before those of a lower one; never those of rank 0.
    rank: int = 0
    #: Cells can be cut to this many characters, the last of which is then an ellipsis. ``None``: never.
    min_width: int | None = None
    #: Cells can be continued on further lines, broken at spaces.
    wrap: bool = False


def as_columns(headers: Sequence[str | TableColumn]) -> list[TableColumn]:
    """Columns for headers: a plain one gets a column that wraps and that goes before those on its left."""
    return [
        TableColumn(header, rank=position, wrap=True) if isinstance(header, str) else header
        for position, header in enumerate(headers)
    ]


@dataclass(frozen=True)
class Layout:
    """The columns of a table that are shown."""

    #: The positions of the columns, in order.
    shown: tuple[int, ...]
    #: The width of each, in characters of the terminal.
    widths: tuple[int, ...]


def fit(columns: Sequence[TableColumn], rows: Sequence[Sequence[str]], width: int | None) -> Layout:
    """Choose the columns that fit, and their widths.

    Columns without any text are left out. If the columns of rank 0 alone are too wide, they are shown all the same.

    :param rows: the cells of each row.
    :param width: of the terminal in characters; ``None`` is unlimited, and leaves no column out.
    """
    natural = [
        max(display_width(column.header), *(display_width(row[index]) for row in rows), 0)
        for index, column in enumerate(columns)
    ]
    if width is None:
        return Layout(tuple(range(len(columns))), tuple(natural))
    least = [_least_width(column, natural[index], rows, index) for index, column in enumerate(columns)]
    widths: dict[int, int] = {}
    used = -GAP

    def widen(most: int) -> None:
        """Give the room that is left to columns that are cut, the most important first."""
        nonlocal used
        for index, current in widths.items():
            more = min(max(min(natural[index], most) - current, 0), max(width - used, 0))
            widths[index] += more
            used += more

    for index in sorted(range(len(columns)), key=lambda index: (columns[index].rank, index)):
        rank = columns[index].rank
        if rank > ESSENTIAL_RANK:
            widen(GOOD_WIDTH)
        is_empty = bool(rows) and not any(row[index] for row in rows)
        if rank == 0 or (used + GAP + least[index] <= width and not is_empty):
            widths[index] = least[index]
            used += GAP + least[index]
    widen(max(natural, default=0))
    shown = tuple(sorted(widths))
    return Layout(shown, tuple(widths[index] for index in shown))


def lay_out(columns: Sequence[TableColumn], rows: Sequence[Sequence[str]], layout: Layout) -> Iterator[list[str]]:
    """The lines of a table, the header first: the cells of each, padded to their widths. Numbers are at the right."""
    is_right = [bool(rows) and all(_NUMBER.fullmatch(row[index]) for row in rows) for index in layout.shown]
    header = [column.header for column in columns]
    for row in (header, *rows):
        cells = [
            wrapped(row[index], width) if columns[index].wrap else [cut(row[index], width)]
            for index, width in zip(layout.shown, layout.widths, strict=True)
        ]
        for line in range(max((len(cell) for cell in cells), default=0)):
            yield [
                _pad(cell[line] if line < len(cell) else "", width, right)
                for cell, width, right in zip(cells, layout.widths, is_right, strict=True)
            ]


def display_width(text: str) -> int:
    """The columns of the terminal that a text takes: East Asian characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def cut(text: str, width: int) -> str:
    """The text, or its start with an ellipsis if it is wider."""
    if display_width(text) <= width:
        return text
    room, end = width - 1, 0
    while end < len(text) and (room := room - _character_width(text[end])) >= 0:
        end += 1
    return text[:end].rstrip() + ELLIPSIS


def wrapped(text: str, width: int, *, break_words: bool = True) -> list[str]:
    """The lines of a text.

    :param break_words: break words that are wider than a line; otherwise their lines are wider.
    """
    if display_width(text) <= width:
        return [text]
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if display_width(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        while break_words and display_width(word) > width:
            end = 1
            while display_width(word[: end + 1]) <= width:
                end += 1
            lines[-1], word = word[:end], word[end:]
            lines.append("")
        lines[-1] = word
    return lines


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _least_width(column: TableColumn, natural: int, rows: Sequence[Sequence[str]], index: int) -> int:
    header = display_width(column.header)
    if column.wrap:
        words = (min(display_width(word), MAX_WORD) for row in rows for word in row[index].split())
        return max(header, *words, 0)
    if column.min_width is not None:
        return min(natural, max(column.min_width, header))
    return natural


def _pad(text: str, width: int, right: bool) -> str:
    blank = " " * (width - display_width(text))
    return blank + text if right else text + blank
