"""What old jobs have left in Postgres: found, and removed, in steps that each wait for little.

A job is as old as its id says. Whole weeks go at once: their partitions are truncated, which disturbs nobody who works
with others, and then dropped. Of the week of the cut, and of ids without a week, rows are deleted job by job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, LiteralString, TypeVar
from uuid import UUID

from psycopg import Rollback, sql
from psycopg.errors import DeadlockDetected, LockNotAvailable

from longshore.shared.errors import LedgerBusy
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection
from longshore.shared.ledger.retention.partitions import TABLES, Span, limit_waiting, list_partitions

T = TypeVar("T")

#: How often a step that found something locked is tried, and seconds between two tries.
TRIES: Final = 5
PAUSE: Final = 0.5
#: Milliseconds to wait for everybody who writes results, which dropping a partition needs; who comes later waits too.
DROP_TIMEOUT: Final = 200
#: Jobs whose rows are deleted in one transaction.
BATCH: Final = 100


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was removed, or with ``dry_run``, what would be."""

    dry_run: bool
    #: Jobs submitted before this moment were looked at.
    cut: datetime
    #: How many jobs have lost their results, row errors and inline rows.
    jobs: int = 0
    #: Partitions that are gone.
    dropped: Sequence[str] = ()
    #: Partitions that are empty, and were not dropped because results are written all the time; the next prune tries.
    emptied: Sequence[str] = ()
    #: Partitions that are old enough, but hold jobs that have not ended: how many.
    kept: Mapping[str, int]
    #: Blocks of inline rows that only pruned jobs used.
    inputs: int = 0
    #: Digests of blobs in the store that held such blocks.
    blobs: Sequence[str] = ()


class OldResults:
    """What is old enough in one database.

    :param cut: the first id that is too young.
    """

    def __init__(self, conn: Connection, cut: UUID, patience: int) -> None:
        self._conn = conn
        self._cut = cut
        self._patience = patience
        #: The partitions of each week: by table, their names.
        self._weeks: dict[Span, dict[str, str]] = {}
        for each in list_partitions(conn):
            if each.span.upper <= cut:
                self._weeks.setdefault(each.span, {})[each.table] = each.name
        #: Unfinished jobs of the weeks that stay.
        self._kept: dict[Span, int] = {}

    def count(self, cut: datetime) -> Pruned:
        """Change nothing."""
        for span in self._weeks:
            if unfinished := self._count(statements.retention.COUNT_UNFINISHED, span):
                self._kept[span] = unfinished
        jobs = self._count(statements.retention.COUNT_PRUNABLE)
        blocks = self._conn.execute(statements.retention.FIND_UNUSED_INPUTS, self._values()).fetchall()
        gone = [name for span, names in self._weeks.items() if span not in self._kept for name in names.values()]
        return self._pruned(cut, jobs, blocks, dropped=gone, emptied=[], dry_run=True)

    def remove(self, cut: datetime) -> Pruned:
        """Remove it, the oldest first."""
        jobs = 0
        dropped: list[str] = []
        emptied: list[str] = []
        for span, names in self._weeks.items():
            jobs += _insist(partial(self._empty, span, names), " or ".join(names.values()))
            if span not in self._kept:
                for table, name in names.items():
                    (dropped if self._drop(table, name) else emptied).append(name)
        while batch := _insist(self._remove_batch, "results"):
            jobs += batch
        blocks = _insist(self._remove_inputs, "inputs")
        return self._pruned(cut, jobs, blocks, dropped=dropped, emptied=emptied)

    def _empty(self, span: Span, names: Mapping[str, str]) -> int:
        """Empty a week's partitions. Returns of how many jobs; none where the week stays."""
        marked = 0
        with self._transaction():
            unfinished = self._count(statements.retention.COUNT_UNFINISHED, span)
            if not unfinished:
                # Before the jobs are looked at once more: whoever has written into it has committed then.
                for name in names.values():
                    self._conn.execute(_named(statements.partitions.LOCK_TABLE, name))
                marked = self._conn.execute(statements.retention.MARK_WEEK_PRUNED, self._values(span)).rowcount
                unfinished = self._count(statements.retention.COUNT_UNFINISHED, span)
            if unfinished:
                self._kept[span] = unfinished
                raise Rollback
            for table in TABLES:
                statement = (
                    statements.partitions.EMPTY_PARTITION if table in names else statements.retention.DELETE_WEEK
                )
                self._conn.execute(_named(statement, names.get(table, table)), self._values(span))
        return 0 if unfinished else marked

    def _drop(self, table: str, name: str) -> bool:
        """Drop an emptied partition, if that can be done without keeping those who write results waiting."""
        for _ in range(TRIES):
            try:
                with self._transaction(DROP_TIMEOUT):
                    self._conn.execute(_named(statements.partitions.LOCK_TABLE, table))
                    if self._conn.execute(_named(statements.partitions.HAS_ROWS, name)).fetchone() is not None:
                        return False  # a job that was submitted with an old id in this moment
                    self._conn.execute(_named(statements.partitions.DROP_PARTITION, name))
                return True
            except (LockNotAvailable, DeadlockDetected):
                time.sleep(PAUSE)
        return False

    def _remove_batch(self) -> int:
        """Delete the rows of some jobs that lie in no week to be dropped. Returns of how many."""
        with self._transaction():
            jobs = [row[0] for row in self._conn.execute(statements.retention.MARK_JOBS_PRUNED, self._values())]
            for table in TABLES:
                self._conn.execute(_named(statements.retention.DELETE_JOBS, table), {"jobs": jobs})
        return len(jobs)

    def _remove_inputs(self) -> list[tuple[str | None]]:
        with self._transaction():
            return self._conn.execute(statements.retention.DELETE_UNUSED_INPUTS, self._values()).fetchall()

    def _pruned(
        self,
        cut: datetime,
        jobs: int,
        blocks: Sequence[tuple[str | None]],
        *,
        dropped: Sequence[str],
        emptied: Sequence[str],
        dry_run: bool = False,
    ) -> Pruned:
        kept = {
            name: self._kept[span]
            for span, names in self._weeks.items()
            if span in self._kept
            for name in names.values()
        }
        blobs = sorted({blob for (blob,) in blocks if blob is not None})
        return Pruned(
            dry_run=dry_run,
            cut=cut,
            jobs=jobs,
            dropped=dropped,
            emptied=emptied,
            kept=kept,
            inputs=len(blocks),
            blobs=blobs,
        )

    @contextmanager
    def _transaction(self, patience: int | None = None) -> Iterator[None]:
        with self._conn.transaction():
            limit_waiting(self._conn, self._patience if patience is None else patience)
            yield

    def _count(self, statement: LiteralString, span: Span | None = None) -> int:
        row = self._conn.execute(statement, self._values(span)).fetchone()
        return 0 if row is None else int(row[0])

    def _values(self, span: Span | None = None) -> dict[str, object]:
        """What the statements are told: a week, or the cut and the weeks that stay."""
        if span is not None:
            return {"lower": span.lower, "upper": span.upper}
        kept = {"lowers": [span.lower for span in self._kept], "uppers": [span.upper for span in self._kept]}
        return {"cut": self._cut, "batch": BATCH, **kept}


def _insist(step: Callable[[], T], what: str) -> T:
    """Try a step a few times.

    :raises LedgerBusy: others held what it needs each time.
    """
    for number in range(TRIES):
        if number:
            time.sleep(PAUSE)
        try:
            return step()
        except (LockNotAvailable, DeadlockDetected):
            pass
    raise LedgerBusy(
        f"somebody reads or writes {what} all the time; what is left of the old results stays, so prune again"
    )


def _named(statement: LiteralString, name: str) -> sql.Composed:
    return sql.SQL(statement).format(name=sql.Identifier(name))
