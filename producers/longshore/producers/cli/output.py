"""How commands answer: tables for people, JSON for programs, and notes aside on standard error."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_NUMBER = re.compile(r"[-+]?[\d,.]+%?|")
#: The colours of words that say how things are, on a terminal.
_STYLES = {
    **dict.fromkeys(("succeeded", "ok", "alive"), "green"),
    **dict.fromkeys(("failed", "fail", "dead", "silent"), "red"),
    **dict.fromkeys(("cancelled", "warn"), "yellow"),
    "running": "cyan",
}


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns with a header: drawn on a terminal, plain text in a pipe."""
    cells = [[clean(cell) for cell in row] for row in rows]
    right = [bool(cells) and all(_NUMBER.fullmatch(row[place]) for row in cells) for place in range(len(headers))]
    if sys.stdout.isatty():
        _draw(headers, cells, right)
        return
    for line in _plain([list(headers), *cells], right):
        sys.stdout.write(line + "\n")


def print_fields(fields: Mapping[str, object]) -> None:
    """One thing: its attributes, one to a line. Empty ones are left out."""
    shown = {name: clean(value) for name, value in fields.items() if value not in (None, "")}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        sys.stdout.write(f"{name:<{width}}  {value}\n")


def print_json(document: object) -> None:
    """One JSON document."""
    sys.stdout.write(to_json(document, indent=2) + "\n")


def to_json(document: object, indent: int | None = None) -> str:
    """JSON of records, times, ids and paths, too. Numbers that JSON has no way to write become null."""
    return json.dumps(_jsonable(document), ensure_ascii=False, allow_nan=False, indent=indent)


def note(message: str) -> None:
    """Tell people something that is not the answer itself."""
    sys.stderr.write(f"{clean(message)}\n")


def clean(value: object) -> str:
    """Text that stays in its line and cannot steer a terminal, wherever it comes from."""
    return _CONTROL.sub(" ", "" if value is None else str(value))


def _jsonable(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID | Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonable(each) for each in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _jsonable(getattr(value, each.name)) for each in dataclasses.fields(value)}
    return value


def _plain(lines: Sequence[Sequence[str]], right: Sequence[bool]) -> Iterable[str]:
    widths = [max(len(line[place]) for line in lines) for place in range(len(right))]
    for line in lines:
        padded = [
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(line, widths, right, strict=True)
        ]
        yield "  ".join(padded).rstrip()


def _draw(headers: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header, at_right in zip(headers, right, strict=True):
        table.add_column(Text(header), justify="right" if at_right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console().print(table)
