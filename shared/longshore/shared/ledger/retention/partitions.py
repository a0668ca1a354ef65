"""The partitions of ``results`` and ``row_errors``: one a week, by job id, and so by when the job was submitted.

results_first     every id up to the end of the week in which the table was partitioned
results_2026w48   the ids of one week, Monday to Sunday, UTC
results_default   ids without a week: the relay was not running, or a producer's clock is far off
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
#: Weeks after the present one that have partitions.
WEEKS_AHEAD: Final = 2
#: The most rows of a new week that are moved out of the default partition. More rows would block writers too long.
MAX_MOVED_ROWS: Final = 100_000
#: How long to wait for a lock, while others wait behind; and for a whole step.
LOCK_TIMEOUT_MS, STEP_TIMEOUT_MS = 2_000, 60_000

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
class PartitionChanges:
    """The partitions that were created, and those that are missing."""

    created: list[str] = field(default_factory=list)
    #: Partitions that could not be created now, and why.
    skipped: dict[str, str] = field(default_factory=dict)


class Partitions:
    """The part of the ledger that keeps a partition for every week."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_missing(
        self, ahead: int = WEEKS_AHEAD, *, moved: int = MAX_MOVED_ROWS, lock_timeout_ms: int = LOCK_TIMEOUT_MS
    ) -> PartitionChanges:
        """Create the missing partitions of this week, by the database's clock, and of the next weeks.

        Only readers and writers of the default partition have to wait, for at most ``STEP_TIMEOUT_MS``. Rows of the
        week that are in the default partition are moved. An attempt that is about to write such rows fails, and is
        tried again.

        :param moved: the most rows to move. A week with more rows stays in the default partition.
        :param lock_timeout_ms: how long to wait for those who use the default partition now.
        """
        changes = PartitionChanges()
        with self._database.connection() as conn:
            this_week = start_of_week(read_clock(conn))
            existing = list_partitions(conn)
            for week in [this_week + number * WEEK for number in range(ahead + 1)]:
                span = Span(first_id(week), first_id(week + WEEK))
                for table in TABLES:
                    if any(
                        each.table == table and each.span.lower <= span.lower < each.span.upper for each in existing
                    ):
                        continue
                    new = Partition(table, f"{table}_{week_name(week)}", span)
                    try:
                        with conn.transaction():
                            limit_waiting(conn, lock_timeout_ms, STEP_TIMEOUT_MS)
                            # A partition belongs to the owner of its table, whichever login has created it.
                            conn.execute(statements.roles.ACT_AS_OWNER, {"table": table, "local": True})
                            changes.created.extend(_make(conn, new, moved))
                    except _Skipped as reason:
                        changes.skipped[new.name] = str(reason)
                    except LockNotAvailable:
                        changes.skipped[new.name] = f"{table}_default is being written or read"
                    except QueryCanceled:
                        changes.skipped[new.name] = f"{table}_default cannot be searched in {STEP_TIMEOUT_MS // 1000} s"
        return changes

    def list(self) -> list[Partition]:
        """Every partition but the default ones, oldest first."""
        with self._database.connection() as conn:
            return list_partitions(conn)


def list_partitions(conn: Connection) -> list[Partition]:
    """Every partition but the default ones, oldest first."""
    partitions = []
    for table, name, bound in conn.execute(statements.partitions.LIST_PARTITIONS, {"tables": list(TABLES)}):
        if match := _BOUND.fullmatch(bound):
            partitions.append(Partition(table, name, Span(UUID(match[1] or UUID(int=0).hex), UUID(match[2]))))
    return sorted(partitions, key=lambda each: (each.span, TABLES.index(each.table)))


def read_clock(conn: Connection) -> datetime:
    """The time by Postgres' clock."""
    row = conn.execute(statements.submission.READ_CLOCK).fetchone()
    assert row is not None  # now() is one row
    moment: datetime = row[0]
    return moment


def limit_waiting(conn: Connection, lock: int, step: int = 0) -> None:
    """Limit how long the statements of the caller's transaction wait.

    :param lock: milliseconds for each lock.
    :param step: milliseconds for each statement; 0 for no limit.
    """
    conn.execute(statements.sessions.LIMIT_WAITING, {"lock": f"{lock}ms", "step": f"{step}ms"})


class _Skipped(Exception):
    """A week stays in the default partition; the message says why."""


def _make(conn: Connection, new: Partition, moved: int) -> list[str]:
    """Create a partition unless it exists. It is attached, because creating it in place would wait for all writers."""
    # This also keeps a relay that has lost the lead, and does not know it yet, from creating the same partition.
    conn.execute(_named(statements.partitions.LOCK_PARTITIONS, new))
    if new in list_partitions(conn):
        return []
    conn.execute(_named(statements.partitions.LOCK_DEFAULT, new))
    bounds = {"lower": new.span.lower, "upper": new.span.upper, "limit": moved + 1}
    row = conn.execute(_named(statements.partitions.COUNT_IN_DEFAULT, new), bounds).fetchone()
    if row is not None and row[0] > moved:
        raise _Skipped(f"more than {moved:,} rows of it are in {new.table}_default, and stay there")
    conn.execute(_named(statements.partitions.CREATE_PARTITION, new))
    conn.execute(_named(statements.partitions.MOVE_OUT_OF_DEFAULT, new), bounds)
    conn.execute(_named(statements.partitions.ATTACH_PARTITION, new))
    return [new.name]


def _named(statement: LiteralString, partition: Partition) -> sql.Composed:
    """Fill in names of tables, and bounds, which cannot be parameters of ALTER TABLE."""
    return sql.SQL(statement).format(
        table=sql.Identifier(partition.table),
        name=sql.Identifier(partition.name),
        default=sql.Identifier(f"{partition.table}_default"),
        lower=sql.Literal(str(partition.span.lower)),
        upper=sql.Literal(str(partition.span.upper)),
    )
