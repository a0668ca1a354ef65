"""The partitions of ``results`` and ``row_errors``: one a week, by job id, and so by when the job was submitted.

results_first     every id up to the end of the week in which the table was partitioned
results_2026w48   the ids of one week, Monday to Sunday, UTC
results_default   ids for which there is no week: the relay was off, or a producer's clock is far from the truth
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from psycopg import sql
from psycopg.errors import LockNotAvailable, QueryCanceled

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database
from longshore.shared.ledger.retention.uuid7_time import WEEK, first_id, start_of_week, week_name

#: The partitioned tables, in the order in which attempts write them, and so the order in which they are locked.
TABLES: Final = ("results", "row_errors")
#: Weeks after the present one that are kept ready.
AHEAD: Final = 2
#: Rows of a new week that are moved out of the default partition; more would keep those who write there waiting.
MOVED: Final = 100_000
#: Milliseconds to wait for a lock, for which others who want the same table wait too; and for a whole step.
LOCK_TIMEOUT, STEP_TIMEOUT = 2_000, 60_000

_BOUND = re.compile(r"FOR VALUES FROM \((?:MINVALUE|'([0-9a-f-]{36})')\) TO \('([0-9a-f-]{36})'\)")


@dataclass(frozen=True, order=True)
class Span:
    """The job ids ``lower <= id < upper``."""

    lower: UUID
    upper: UUID


@dataclass(frozen=True)
class Partition:
    """One partition."""

    #: ``results`` or ``row_errors``.
    table: str
    name: str
    span: Span


@dataclass(frozen=True)
class Kept:
    """What was done to have a partition for every week."""

    made: list[str] = field(default_factory=list)
    #: Those that could not be made now, and why.
    left: dict[str, str] = field(default_factory=dict)


class Partitions:
    """The part of the ledger that knows where results lie."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, ahead: int = AHEAD, *, moved: int = MOVED, patience: int = LOCK_TIMEOUT) -> Kept:
        """Make the partitions of this week, by the database's clock, and of the next ones where they are missing.

        Nobody who writes or reads results waits for it, but those at the default partition, for at most
        ``STEP_TIMEOUT``. Rows of the week that lie there already are moved; an attempt that is about to write there
        fails, and is tried again.

        :param moved: the most rows to move; a week with more is left to the default partition.
        :param patience: milliseconds to wait for those who use the default partition now.
        """
        kept = Kept()
        with self._database.connection() as conn:
            this_week = start_of_week(read_clock(conn))
            there = list_partitions(conn)
            for week in [this_week + number * WEEK for number in range(ahead + 1)]:
                span = Span(first_id(week), first_id(week + WEEK))
                for table in TABLES:
                    if any(of.table == table and of.span.lower <= span.lower < of.span.upper for of in there):
                        continue
                    new = Partition(table, f"{table}_{week_name(week)}", span)
                    try:
                        with conn.transaction():
                            limit_waiting(conn, patience, STEP_TIMEOUT)
                            kept.made.extend(_make(conn, new, moved))
                    except _Left as reason:
                        kept.left[new.name] = str(reason)
                    except LockNotAvailable:
                        kept.left[new.name] = f"{table}_default is being written or read"
                    except QueryCanceled:
                        kept.left[new.name] = f"{table}_default cannot be looked through in {STEP_TIMEOUT // 1000} s"
        return kept

    def list(self) -> list[Partition]:
        """Every partition but the default ones, oldest first."""
        with self._database.connection() as conn:
            return list_partitions(conn)


def list_partitions(conn: Connection) -> list[Partition]:
    """Every partition but the default ones, oldest first."""
    found = []
    for table, name, bound in conn.execute(statements.partitions.LIST_PARTITIONS, {"tables": list(TABLES)}):
        if match := _BOUND.fullmatch(bound):
            found.append(Partition(table, name, Span(UUID(match[1] or UUID(int=0).hex), UUID(match[2]))))
    return sorted(found, key=lambda each: (each.span, TABLES.index(each.table)))


def read_clock(conn: Connection) -> datetime:
    """The time by Postgres."""
    row = conn.execute(statements.submission.READ_CLOCK).fetchone()
    assert row is not None  # now() is one row
    moment: datetime = row[0]
    return moment


def limit_waiting(conn: Connection, lock: int, step: int = 0) -> None:
    """Within a transaction: fail rather than wait longer.

    :param lock: milliseconds for each lock.
    :param step: milliseconds for each statement; 0 for no limit.
    """
    conn.execute(statements.sessions.LIMIT_WAITING, {"lock": f"{lock}ms", "step": f"{step}ms"})


class _Left(Exception):
    """A week is left to the default partition; says why."""


def _make(conn: Connection, new: Partition, moved: int) -> list[str]:
    """Make a partition, unless it is there. Attached, not created in place: that would wait for all who write."""
    # Also keeps another relay, which has lost the lead but does not know it yet, from making the same.
    conn.execute(_named(statements.partitions.LOCK_PARTITIONS, new))
    if new in list_partitions(conn):
        return []
    conn.execute(_named(statements.partitions.LOCK_DEFAULT, new))
    bounds = {"lower": new.span.lower, "upper": new.span.upper, "limit": moved + 1}
    row = conn.execute(_named(statements.partitions.COUNT_IN_DEFAULT, new), bounds).fetchone()
    if row is not None and row[0] > moved:
        raise _Left(f"more than {moved:,} rows of it are in {new.table}_default, and stay there")
    conn.execute(_named(statements.partitions.CREATE_PARTITION, new))
    conn.execute(_named(statements.partitions.MOVE_OUT_OF_DEFAULT, new), bounds)
    conn.execute(_named(statements.partitions.ATTACH_PARTITION, new))
    return [new.name]


def _named(statement: LiteralString, of: Partition) -> sql.Composed:
    """A statement with names of tables in it, and bounds, which cannot be parameters where a table is altered."""
    return sql.SQL(statement).format(
        table=sql.Identifier(of.table),
        name=sql.Identifier(of.name),
        default=sql.Identifier(f"{of.table}_default"),
        lower=sql.Literal(str(of.span.lower)),
        upper=sql.Literal(str(of.span.upper)),
    )
