"""What runs where, and what goes before a job that waits. All of it is cheap, however many shards are queued."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, records
from longshore.shared.ledger.postgres.repeating import repeat_read
from longshore.shared.vocabulary import State

#: Running shards that are read, at most: more than all devices of a large cluster run.
MAX_RUNNING: Final = 10_000
#: Shards of one job that are looked at, from the first one on.
MAX_SHARDS_OF_JOB: Final = 10_000
#: Shards ahead of another that are counted, at most.
MAX_AHEAD: Final = 1_000
#: Shards of each queue and priority that are looked at for the jobs that come next.
MAX_NEXT: Final = 100
#: The queues, one for each class of device.
QUEUES: Final = ["cpu", "gpu"]
#: Jobs in one state that are counted, at most.
MAX_OPEN_JOBS: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class RunningRecord:
    """The shards of one job that one worker runs."""

    worker: str
    job_id: UUID
    #: The index of the first of them.
    shard: int
    shards: int
    #: All their leases have run out: the worker does not renew them, and others get the shards soon.
    expired: bool


@dataclass(frozen=True, kw_only=True)
class QueuedShardRecord:
    """A shard that waits for a worker."""

    job_id: UUID
    index: int
    queue: str
    priority: int
    #: Attempts so far.
    attempt: int
    attempt_limit: int
    #: ``None``: its producer or the relay has yet to publish it.
    published_at: datetime | None
    #: It does not run before this time.
    not_before: datetime | None
    #: The outage for whose end it waits.
    waits_for: str | None
    outages: int
    #: When it was read, by the same clock as the times above.
    read_at: datetime


@dataclass(frozen=True, kw_only=True)
class AheadRecord:
    """What goes before a queued shard."""

    #: Counted up to :data:`MAX_AHEAD` and a few more.
    shards: int
    jobs: int
    #: This user of Postgres sees its own jobs only, so there may be more.
    only_own: bool

    @property
    def at_least(self) -> bool:
        """Whether there may be more than were counted."""
        return self.shards >= MAX_AHEAD or self.only_own


@dataclass(frozen=True, kw_only=True)
class FailureRecord:
    """An attempt at a shard that failed."""

    shard: int
    attempt: int
    worker: str | None
    error: str
    failed_at: datetime | None = field(repr=False)


class ActivityQueries:
    """The part of the ledger that knows what runs now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @repeat_read
    def running(self) -> list[RunningRecord]:
        """What each worker runs, by worker and job."""
        with self._database.connection() as conn:
            statement = statements.queries.LIST_RUNNING
            return records(conn, RunningRecord).execute(statement, {"limit": MAX_RUNNING}).fetchall()

    @repeat_read
    def next_shard(self, job: UUID, ended: int) -> QueuedShardRecord | None:
        """A shard of a job that is queued, the first one that is found.

        :param ended: how many shards of the job have ended. Most run in their order, so it is looked for there, too.
        :returns: ``None`` if there is none among the first :data:`MAX_SHARDS_OF_JOB`, nor among as many around that.
        """
        with self._database.connection() as conn:
            cursor = records(conn, QueuedShardRecord)
            for first in sorted({0, max(0, ended - MAX_SHARDS_OF_JOB // 2)}):
                values = {"job": job, "first": first, "limit": MAX_SHARDS_OF_JOB}
                if (shard := cursor.execute(statements.queries.NEXT_SHARD, values).fetchone()) is not None:
                    return shard
        return None

    @repeat_read
    def ahead(self, shard: QueuedShardRecord) -> AheadRecord:
        """What goes before a queued shard in its queue."""
        values = {
            **{"job": shard.job_id, "queue": shard.queue, "priority": shard.priority},
            **{"published_at": shard.published_at, "limit": MAX_AHEAD},
        }
        with self._database.connection() as conn:
            record = records(conn, AheadRecord).execute(statements.queries.COUNT_AHEAD, values).fetchone()
        assert record is not None, "an aggregate has one row"
        return record

    @repeat_read
    def failures(self, job: UUID, limit: int) -> list[FailureRecord]:
        """The newest attempts that failed at the first :data:`MAX_SHARDS_OF_JOB` shards of a job, newest first."""
        values = {"job": job, "looked_at": MAX_SHARDS_OF_JOB, "limit": limit}
        with self._database.connection() as conn:
            return records(conn, FailureRecord).execute(statements.queries.LIST_FAILURES, values).fetchall()

    @repeat_read
    def next_jobs(self, limit: int) -> list[UUID]:
        """Jobs that workers take next, the most urgent and oldest first."""
        values = {"queues": QUEUES, "looked_at": MAX_NEXT, "limit": limit}
        with self._database.connection() as conn:
            return [job for (job,) in conn.execute(statements.queries.LIST_NEXT, values)]

    @repeat_read
    def count_open_jobs(self) -> dict[State, int]:
        """The number of jobs that are running, queued and waiting, each counted up to :data:`MAX_OPEN_JOBS`."""
        with self._database.connection() as conn:
            rows = conn.execute(statements.queries.COUNT_OPEN_JOBS, {"limit": MAX_OPEN_JOBS})
            return {State(state): int(count) for state, count in rows}
