"""Finding and removing old results, in steps that each wait for a short time only.

Results are partitioned by job id, which says when the job was submitted. A week whose jobs have all ended long enough
ago is removed at once: its partitions are truncated, which blocks no one who uses other partitions, and then dropped.
Rows of the week that the cut falls in, and of ids without a week, are deleted job by job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, LiteralString, TypeVar

from psycopg import Rollback, sql
from psycopg.errors import DeadlockDetected, LockNotAvailable

from longshore.shared.errors import LedgerBusy
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection
from longshore.shared.ledger.retention.partitions import TABLES, Span, limit_waiting, list_partitions
from longshore.shared.ledger.retention.uuid7_time import first_id

T = TypeVar("T")

#: How often a step is tried that does not get a lock, and how long to wait between two tries.
MAX_TRIES: Final = 5
RETRY_INTERVAL_S: Final = 0.5
#: How long dropping a partition waits for everybody who writes results. Later writers wait behind it.
DROP_TIMEOUT_MS: Final = 200
#: Jobs whose rows are deleted in one transaction.
JOBS_PER_TRANSACTION: Final = 100


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was removed, or with ``dry_run``, what would be removed."""

    dry_run: bool
    #: Jobs that have ended before this moment, by Postgres' clock, were considered.
    cut: datetime
    #: The number of jobs whose results, row errors, logs and inline rows were removed.
    jobs: int = 0
    #: Partitions that were dropped.
    dropped: Sequence[str] = ()
    #: Partitions that were emptied, but not dropped, because results are written all the time. The next prune tries.
    emptied: Sequence[str] = ()
    #: Partitions that are old enough, but hold jobs that have not ended, or not before ``cut``, with the number of
    #: these jobs.
    kept: Mapping[str, int]
    #: The number of blocks of inline rows that only pruned jobs used.
    inputs: int = 0
    #: The digests of blobs in the store that held such blocks.
    blobs: Sequence[str] = ()


class OldResults:
    """The old results of one database.

    :param cut: jobs that have ended before this moment are old.
    """

    def __init__(self, conn: Connection, cut: datetime, lock_timeout_ms: int) -> None:
        self._conn = conn
        self._cut = cut
        self._lock_timeout_ms = lock_timeout_ms
        #: The names of the partitions of each week, by table.
        self._weeks: dict[Span, dict[str, str]] = {}
        for each in list_partitions(conn):
            if each.span.upper <= first_id(cut):
                self._weeks.setdefault(each.span, {})[each.table] = each.name
        #: The number of jobs for which each week stays.
        self._young: dict[Span, int] = {}

    def count(self) -> Pruned:
        """What would be removed. Changes nothing."""
        for span in self._weeks:
            if young := self._count(statements.retention.COUNT_YOUNG, span):
                self._young[span] = young
        jobs = self._count(statements.retention.COUNT_PRUNABLE)
        blocks = self._conn.execute(statements.retention.FIND_UNUSED_INPUTS, self._values()).fetchall()
        gone = [name for span, names in self._weeks.items() if span not in self._young for name in names.values()]
        return self._pruned(jobs, blocks, dropped=gone, emptied=[], dry_run=True)

    def remove(self) -> Pruned:
        """Remove the old results, the oldest first."""
        jobs = 0
        dropped: list[str] = []
        emptied: list[str] = []
        for span, names in self._weeks.items():
            jobs += _retry(partial(self._empty, span, names), " or ".join(names.values()))
            if span not in self._young:
                for table, name in names.items():
                    (dropped if self._drop(table, name) else emptied).append(name)
        while batch := _retry(self._remove_batch, "results"):
            jobs += batch
        blocks = _retry(self._remove_inputs, "inputs")
        return self._pruned(jobs, blocks, dropped=dropped, emptied=emptied)

    def _empty(self, span: Span, names: Mapping[str, str]) -> int:
        """Empty the partitions of a week. Returns the number of its jobs; 0 if the week stays."""
        marked = 0
        with self._transaction():
            young = self._count(statements.retention.COUNT_YOUNG, span)
            if not young:
                # The lock comes before the jobs are counted again: whoever has written into them has committed by then.
                for name in names.values():
                    self._conn.execute(_named(statements.partitions.LOCK_TABLE, name))
                marked = self._conn.execute(statements.retention.MARK_WEEK_PRUNED, self._values(span)).rowcount
                young = self._count(statements.retention.COUNT_YOUNG, span)
            if young:
                self._young[span] = young
                raise Rollback
            for table in TABLES:
                statement = (
                    statements.partitions.EMPTY_PARTITION if table in names else statements.retention.DELETE_WEEK
                )
                self._conn.execute(_named(statement, names.get(table, table)), self._values(span))
            self._conn.execute(statements.retention.DELETE_LOGS_OF_WEEK, self._values(span))
            self._conn.execute(statements.retention.DELETE_TEXTS_OF_WEEK, self._values(span))
        return 0 if young else marked

    def _drop(self, table: str, name: str) -> bool:
        """Drop an emptied partition, if that does not make writers of results wait for long."""
        for _ in range(MAX_TRIES):
            try:
                with self._transaction(DROP_TIMEOUT_MS):
                    self._conn.execute(_named(statements.partitions.LOCK_TABLE, table))
                    if self._conn.execute(_named(statements.partitions.HAS_ROWS, name)).fetchone() is not None:
                        return False  # a job was submitted with an old id in the meantime
                    self._conn.execute(_named(statements.partitions.DROP_PARTITION, name))
                return True
            except (LockNotAvailable, DeadlockDetected):
                time.sleep(RETRY_INTERVAL_S)
        return False

    def _remove_batch(self) -> int:
        """Delete the rows of some jobs outside the weeks that are dropped. Returns the number of jobs."""
        with self._transaction():
            jobs = [row[0] for row in self._conn.execute(statements.retention.MARK_JOBS_PRUNED, self._values())]
            for table in TABLES:
                self._conn.execute(_named(statements.retention.DELETE_JOBS, table), {"jobs": jobs})
            self._conn.execute(statements.retention.DELETE_LOGS, {"jobs": jobs})
            self._conn.execute(statements.retention.DELETE_TEXTS, {"jobs": jobs})
        return len(jobs)

    def _remove_inputs(self) -> list[tuple[str | None]]:
        with self._transaction():
            return self._conn.execute(statements.retention.DELETE_UNUSED_INPUTS, self._values()).fetchall()

    def _pruned(
        self,
        jobs: int,
        blocks: Sequence[tuple[str | None]],
        *,
        dropped: Sequence[str],
        emptied: Sequence[str],
        dry_run: bool = False,
    ) -> Pruned:
        staying = {
            name: self._young[span]
            for span, names in self._weeks.items()
            if span in self._young
            for name in names.values()
        }
        blobs = sorted({blob for (blob,) in blocks if blob is not None})
        return Pruned(
            dry_run=dry_run,
            cut=self._cut,
            jobs=jobs,
            dropped=dropped,
            emptied=emptied,
            kept=staying,
            inputs=len(blocks),
            blobs=blobs,
        )

    @contextmanager
    def _transaction(self, lock_timeout_ms: int | None = None) -> Iterator[None]:
        with self._conn.transaction():
            limit_waiting(self._conn, self._lock_timeout_ms if lock_timeout_ms is None else lock_timeout_ms)
            yield

    def _count(self, statement: LiteralString, span: Span | None = None) -> int:
        row = self._conn.execute(statement, self._values(span)).fetchone()
        return 0 if row is None else int(row[0])

    def _values(self, span: Span | None = None) -> dict[str, object]:
        """The parameters of the statements: a week, or the cut and the weeks that stay."""
        if span is not None:
            return {"lower": span.lower, "upper": span.upper, "ended_before": self._cut}
        staying = {
            "lowers": [span.lower for span in self._young],
            "uppers": [span.upper for span in self._young],
        }
        return {"cut": first_id(self._cut), "ended_before": self._cut, "batch": JOBS_PER_TRANSACTION, **staying}


def _retry(step: Callable[[], T], what: str) -> T:
    """Try a step several times.

    :raises LedgerBusy: others had locked what it needs each time.
    """
    for number in range(MAX_TRIES):
        if number:
            time.sleep(RETRY_INTERVAL_S)
        try:
            return step()
        except (LockNotAvailable, DeadlockDetected):
            pass
    raise LedgerBusy(f"{what} are in use all the time; some old results were not removed, so prune again")


def _named(statement: LiteralString, name: str) -> sql.Composed:
    return sql.SQL(statement).format(name=sql.Identifier(name))
