"""Lists of records: which columns they have, in which order the records come, and how many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

import click

from longshore.producers.cli.output import print_table
from longshore.producers.cli.table_layout import TableColumn
from longshore.producers.reporting.human import age_text, local_time, size_text
from longshore.shared.ledger.jobs.filter import SORT_KEYS

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., object])

#: What a list is sorted by. Records without a value come last.
SortKey: TypeAlias = str | float | datetime | None
#: The names of the columns, in the order of the table. They are here so that a help text needs no records.
JOB_COLUMNS = SORT_KEYS
MODEL_COLUMNS = ("model", "versions", "newest", "aliases", "size", "shared", "created", "age")
VERSION_COLUMNS = ("version", "aliases", "family", "metrics", "size", "shared", "job", "created", "age")
HISTORY_COLUMNS = ("alias", "change", "action", "by", "job", "why", "when", "age")
#: How many records can be asked for at once.
MAX_LIMIT = 1_000_000
#: The default number of records in a table.
TABLE_LIMIT = 30
#: To how many characters the cells of a column that was chosen are cut, if they can be cut at all.
MIN_CHOSEN = 6
#: The rank of the column by which a list is sorted.
SORTED_RANK = 1
#: The default number of records in JSON.
JSON_LIMIT = 100


@dataclass(frozen=True)
class ListColumn(Generic[R]):
    """A column of a list of records. Its name is its header in small letters."""

    column: TableColumn
    #: The cell, as people read it.
    text: Callable[[R], str]
    #: The value to sort by; ``None`` if Postgres sorts the records.
    key: Callable[[R], SortKey] | None = None
    #: Whether it is shown if no columns are chosen.
    is_default: bool = True

    @property
    def name(self) -> str:
        """What people write to choose it."""
        return self.column.header.lower()


def moment_column(header: str, rank: int, moment: Callable[[R], datetime | None]) -> ListColumn[R]:
    """A column with a time, which is shown if it is chosen."""
    return ListColumn(
        TableColumn(header, rank), lambda record: local_time(moment(record)) or "", moment, is_default=False
    )


def age_column(rank: int, created: Callable[[R], datetime]) -> ListColumn[R]:
    """The column with the age of a record, the youngest first."""
    return ListColumn(
        TableColumn("AGE", rank),
        lambda record: age_text(created(record)),
        lambda record: -created(record).timestamp(),
    )


def size_column(header: str, rank: int, size: Callable[[R], int | None], *, is_default: bool = True) -> ListColumn[R]:
    """A column with a size.

    :param size: in bytes; ``None`` is unknown.
    """

    def text(record: R) -> str:
        number = size(record)
        return "" if number is None else size_text(number)

    return ListColumn(TableColumn(header, rank), text, size, is_default=is_default)


def list_options(names: Sequence[str], default_limit: str) -> Callable[[F], F]:
    """Add ``--columns``, ``--sort`` and ``--limit`` to a command that lists records.

    :param names: the names of the columns.
    :param default_limit: what the help text says.
    """

    def add(function: F) -> F:
        for option in (
            click.option(
                "--limit",
                type=click.IntRange(1, MAX_LIMIT),
                metavar="N",
                help=f"Maximum number. Default: {default_limit}.",
            ),
            click.option(
                "--sort",
                type=lambda text: _sort_column(text, names),
                metavar="COLUMN",
                help="Sort all by a column; with - before its name, from the largest value to the smallest.",
            ),
            click.option(
                "--columns",
                type=lambda text: _column_list(text, names),
                metavar="A,B,...",
                help=f"Columns of the table: {', '.join(names)}. Default: as many as fit.",
            ),
        ):
            function = option(function)
        return function

    return add


def limit_of(limit: int | None, *, as_json: bool) -> int:
    """How many records to list."""
    if limit is not None:
        return limit
    return JSON_LIMIT if as_json else TABLE_LIMIT


def sort_records(records: Iterable[R], columns: Sequence[ListColumn[R]], order: str | None) -> list[R]:
    """All records in the order of ``--sort``; unchanged without it. Those without a value come last."""
    records = list(records)
    if order is None:
        return records
    key = next(column.key for column in columns if column.name == order.removeprefix("-"))
    assert key is not None, order
    known = [record for record in records if key(record) is not None]
    unknown = [record for record in records if key(record) is None]
    return sorted(known, key=key, reverse=order.startswith("-")) + unknown  # type: ignore[arg-type]


def print_records(
    records: Sequence[R], columns: Sequence[ListColumn[R]], names: Sequence[str] | None, order: str | None = None
) -> None:
    """Print a table of records.

    :param names: the columns of ``--columns``, all of which are shown; ``None`` shows the default ones that fit.
    :param order: that of ``--sort``: its column is among the first that are shown.
    """
    if names is None:
        by = (order or "").removeprefix("-")
        columns = [_ranked_first(column) if column.name == by else column for column in columns]
        chosen = [column for column in columns if column.is_default]
        headers = [column.column for column in chosen]
    else:
        by_name = {column.name: column for column in columns}
        chosen = [by_name[name] for name in names]
        headers = [
            TableColumn(each.column.header, min_width=None if each.column.min_width is None else MIN_CHOSEN)
            for each in chosen
        ]
    print_table(headers, [[column.text(record) for column in chosen] for record in records], hint=None)


def _ranked_first(column: ListColumn[R]) -> ListColumn[R]:
    """A column by which a list is sorted. One of rank 0 is shown already, or has another form there."""
    if not column.column.rank:
        return column
    return replace(column, column=replace(column.column, rank=SORTED_RANK), is_default=True)


def _column_list(text: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(_known_name(name.strip().lower(), names) for name in text.split(","))


def _sort_column(text: str, names: Sequence[str]) -> str:
    minus = "-" if text.startswith("-") else ""
    return minus + _known_name(text.removeprefix("-").lower(), names)


def _known_name(name: str, names: Sequence[str]) -> str:
    """:raises BadParameter: it is not the name of a column."""
    if name not in names:
        import difflib

        matches = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {matches[0]}? " if matches else ""
        raise click.BadParameter(f"no column {name!r}; {hint}the columns are {', '.join(names)}")
    return name
