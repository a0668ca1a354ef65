"""The output of commands: tables for people, JSON for programs, and notes on standard error."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence

from longshore.producers.cli.table_layout import GAP, MAX_WORD, TableColumn, as_columns, fit, lay_out, wrapped
from longshore.producers.documents.json_text import to_json

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
#: The colours of state names on a terminal.
_STYLES = {
    **dict.fromkeys(("succeeded", "ok", "alive", "idle"), "green"),
    **dict.fromkeys(("failed", "fail", "dead", "silent"), "red"),
    **dict.fromkeys(("cancelled", "warn"), "yellow"),
    **dict.fromkeys(("running", "busy"), "cyan"),
}


def print_table(
    headers: Sequence[str | TableColumn],
    rows: Iterable[Sequence[object]],
    hint: str | None = "--json shows everything",
) -> None:
    """Print a table: on a terminal with colours, and not wider than it; in a pipe as aligned text of any width.

    :param headers: a column that is only a header wraps, and is left out before those on its left.
    :param hint: what a note says after the names of columns for which there was no room; without it there is no note.
    """
    columns = as_columns(headers)
    cells = [[clean(cell) for cell in row] for row in rows]
    is_terminal = sys.stdout.isatty()
    layout = fit(columns, cells, terminal_width() if is_terminal else None)
    lines = lay_out(columns, cells, layout)
    if is_terminal:
        _print_styled(lines)
    else:
        sys.stdout.writelines(f"{(' ' * GAP).join(line).rstrip()}\n" for line in lines)
    hidden = [
        column.header
        for index, column in enumerate(columns)
        if index not in layout.shown and any(row[index] for row in cells)
    ]
    if hidden and hint is not None:
        note(f"no room for {', '.join(hidden)}; {hint}")


def terminal_width() -> int:
    """The width of the terminal in characters; ``COLUMNS`` overrides it."""
    return shutil.get_terminal_size().columns


def print_fields(fields: Mapping[str, object]) -> None:
    """Print fields, one per line; on a terminal, long values continue below their start. Empty fields are omitted.

    Each element of a tuple has a line of its own.
    """
    values = {name: _texts(value) for name, value in fields.items() if value not in (None, "", ())}
    width = max((len(name) for name in values), default=0)
    room = terminal_width() - width - GAP if sys.stdout.isatty() else None
    for name, texts in values.items():
        lines = [
            line
            for text in texts
            for line in ([text] if room is None else wrapped(text, max(room, MAX_WORD), break_words=False))
        ]
        for number, line in enumerate(lines):
            sys.stdout.write(f"{'' if number else name:<{width}}  {line}\n")


def _texts(value: object) -> list[str]:
    return [clean(each) for each in value] if isinstance(value, tuple) else [clean(value)]


def print_json(document: object) -> None:
    """Print a JSON document."""
    sys.stdout.write(to_json(document, indent=2) + "\n")


def note(message: str) -> None:
    """Print a remark to standard error, so that standard output contains only the result."""
    sys.stderr.write(f"{clean(message)}\n")


def clean(value: object) -> str:
    """The value as text on one line, without control characters, so that untrusted text cannot control the terminal."""
    return _CONTROL.sub(" ", "" if value is None else str(value))


def _print_styled(lines: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for number, line in enumerate(lines):
        text = Text()
        for position, cell in enumerate(line):
            text.append(" " * GAP if position else "")
            text.append(cell, style="bold" if number == 0 else _STYLES.get(cell.strip(), ""))
        text.rstrip()
        console.print(text, soft_wrap=True)
