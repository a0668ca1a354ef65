"""The output of commands: tables for people, JSON for programs, and notes on standard error."""

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
#: The colours of state names on a terminal.
_STYLES = {
    **dict.fromkeys(("succeeded", "ok", "alive"), "green"),
    **dict.fromkeys(("failed", "fail", "dead", "silent"), "red"),
    **dict.fromkeys(("cancelled", "warn"), "yellow"),
    "running": "cyan",
}


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: with rules and colours on a terminal, as aligned plain text in a pipe."""
    cells = [[clean(cell) for cell in row] for row in rows]
    right_aligned = [
        bool(cells) and all(_NUMBER.fullmatch(row[column]) for row in cells) for column in range(len(headers))
    ]
    if sys.stdout.isatty():
        _print_rich_table(headers, cells, right_aligned)
        return
    for line in _plain_lines([list(headers), *cells], right_aligned):
        sys.stdout.write(line + "\n")


def print_fields(fields: Mapping[str, object]) -> None:
    """Print fields, one per line. Empty fields are omitted."""
    values = {name: clean(value) for name, value in fields.items() if value not in (None, "")}
    width = max((len(name) for name in values), default=0)
    for name, value in values.items():
        sys.stdout.write(f"{name:<{width}}  {value}\n")


def print_json(document: object) -> None:
    """Print a JSON document."""
    sys.stdout.write(to_json(document, indent=2) + "\n")


def to_json(document: object, indent: int | None = None) -> str:
    """Serialize to JSON, including dataclasses, datetimes, UUIDs and paths. NaN and infinity become null."""
    return json.dumps(_jsonable(document), ensure_ascii=False, allow_nan=False, indent=indent)


def note(message: str) -> None:
    """Print a remark to standard error, so that standard output contains only the result."""
    sys.stderr.write(f"{clean(message)}\n")


def clean(value: object) -> str:
    """The value as text on one line, without control characters, so that untrusted text cannot control the terminal."""
    return _CONTROL.sub(" ", "" if value is None else str(value))


def _jsonable(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID | Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonable(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def _plain_lines(lines: Sequence[Sequence[str]], right_aligned: Sequence[bool]) -> Iterable[str]:
    widths = [max(len(line[column]) for line in lines) for column in range(len(right_aligned))]
    for line in lines:
        padded = [
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right_aligned, strict=True)
        ]
        yield "  ".join(padded).rstrip()


def _print_rich_table(headers: Sequence[str], cells: Sequence[Sequence[str]], right_aligned: Sequence[bool]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header, is_right in zip(headers, right_aligned, strict=True):
        table.add_column(Text(header), justify="right" if is_right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console().print(table)
