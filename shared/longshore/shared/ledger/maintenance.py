"""What the relay does so that every job ends, whatever happened to its tickets or its workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, records
from longshore.shared.ledger.locks import RELAY_LOCK, lock_halves
from longshore.shared.ledger.postgres.repeating import repeat_rolled_back
from longshore.shared.ledger.records import Ticket
from longshore.shared.ledger.shards.transitions import end_job, expire_leases
from longshore.shared.vocabulary import JobKind, State

#: Attempts that are counted as lost in one transaction.
MAX_EXPIRED = 500


@dataclass(frozen=True, kw_only=True)
class QueueDepth:
    """How many published shards of a queue wait for a worker."""

    queue: str
    #: At most a limit for each priority.
    shards: int
    #: Seconds since the first of them was published; 0 if none waits.
    oldest_s: float


@dataclass(frozen=True, kw_only=True)
class EndedJob:
    """A job that has ended. Times in seconds; ``None`` if it never ran."""

    id: UUID
    kind: str
    state: str
    finished_at: datetime
    waited_s: float | None
    ran_s: float | None


class Maintenance:
    """The part of the ledger that the relay writes with. Steps can be repeated and can run in parallel without harm."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def expire_leases(self) -> int:
        """Count the attempts whose lease has run out as failed. Returns how many.

        Those of a lost worker are few, those of an outage thousands: each transaction ends ``MAX_EXPIRED`` of them.
        """
        expired = 0
        while True:
            count = self._expire_some()
            expired += count
            if count < MAX_EXPIRED:
                return expired

    def end_overdue(self) -> int:
        """End the jobs that are past their deadline. Returns how many."""
        with self._database.connection() as conn:
            overdue: list[UUID] = [row[0] for row in conn.execute(statements.maintenance.PAST_DEADLINE)]
        ended = 0
        for job in overdue:
            ended += self._end_overdue(job)
        return ended

    def unpublished(self, *, grace: float, limit: int = 5000) -> list[Ticket]:
        """The tickets of queued shards that nobody has published, most urgent first.

        :param grace: seconds that a new job is left to its producer, which is about to publish.
        """
        with self._database.connection() as conn:
            return [
                Ticket(*row)
                for row in conn.execute(statements.maintenance.UNPUBLISHED, {"grace": grace, "limit": limit})
            ]

    def seconds_to_next_due(self) -> float | None:
        """Seconds until the next shard may run that waits for its time; ``None`` if none does."""
        with self._database.connection() as conn:
            row = conn.execute(statements.maintenance.NEXT_DUE).fetchone()
        return None if row is None or row[0] is None else float(row[0])

    def waiting_queues(self, queues: Sequence[str], *, grace: float) -> list[tuple[str, int]]:
        """The queues and priorities with shards that were published over ``grace`` seconds ago and are unclaimed."""
        with self._database.connection() as conn:
            values = {"queues": list(queues), "grace": grace}
            rows = conn.execute(statements.maintenance.WAITING_QUEUES, values).fetchall()
        return [(str(queue), int(priority)) for queue, priority in rows]

    def still_queued(self, groups: Sequence[Sequence[tuple[UUID, int]]]) -> set[int]:
        """Which groups have at least one shard that is queued, by their positions.

        :param groups: the job and the index of each shard.
        """
        names = [(number, job, shard) for number, shards in enumerate(groups) for job, shard in shards]
        values = {
            "numbers": [number for number, _, _ in names],
            "jobs": [job for _, job, _ in names],
            "shards": [shard for _, _, shard in names],
        }
        with self._database.connection() as conn:
            return {int(number) for (number,) in conn.execute(statements.maintenance.STILL_QUEUED, values)}

    def lost(
        self,
        queue: str,
        priority: int,
        upcoming: Sequence[tuple[UUID, UUID, int]],
        *,
        complete: bool,
        grace: float,
        limit: int = 5000,
    ) -> list[Ticket]:
        """The tickets of unclaimed shards whose message is not in Redis, published longest ago first.

        :param upcoming: the messages that workers take next, in this order: the id of each, and the job and the index
            of a shard that it names.
        :param complete: these are all messages of the queue and the priority. Otherwise only what should have been
            taken before them is known to be lost.
        :param grace: seconds that a worker has to claim a shard after taking its message.
        """
        values = {
            **{"queue": queue, "priority": priority, "grace": grace, "all": complete, "limit": limit},
            "messages": [message for message, _, _ in upcoming],
            "jobs": [job for _, job, _ in upcoming],
            "shards": [shard for _, _, shard in upcoming],
        }
        with self._database.connection() as conn:
            return [Ticket(*row) for row in conn.execute(statements.maintenance.LOST, values)]

    def queue_depths(self, queues: Sequence[str], *, limit: int) -> list[QueueDepth]:
        """How many published shards of each queue wait, and for how long.

        :param limit: the most shards of each priority that are counted.
        """
        with self._database.connection() as conn:
            values = {"queues": list(queues), "limit": limit}
            return records(conn, QueueDepth).execute(statements.maintenance.QUEUE_DEPTHS, values).fetchall()

    def count_unpublished(self, *, limit: int) -> dict[str, int]:
        """How many queued shards of each queue are not published yet: new ones, and those that wait for their time.

        :param limit: the most that are counted, of all queues together.
        """
        with self._database.connection() as conn:
            rows = conn.execute(statements.maintenance.COUNT_UNPUBLISHED, {"limit": limit}).fetchall()
        return {str(queue): int(count) for queue, count in rows}

    def ended(self, jobs: Sequence[UUID]) -> list[EndedJob]:
        """Those of some jobs that have ended."""
        with self._database.connection() as conn:
            return records(conn, EndedJob).execute(statements.maintenance.READ_ENDED, {"jobs": list(jobs)}).fetchall()

    @staticmethod
    def prove_lead(conn: Connection) -> None:
        """Show the other relays that this one goes on; to be called at least every few seconds.

        :param conn: the connection that holds the lead.
        :raises psycopg.OperationalError: the lead is lost with the connection.
        """
        conn.execute(statements.sessions.PROVE_LIFE)

    @staticmethod
    def end_silent_lead(conn: Connection, timeout: float) -> bool:
        """Take the lead from a relay that has not proven it for ``timeout`` seconds: it hangs, or is frozen.

        What it does when it goes on is harmless: all steps can run in parallel. Then it finds its connection closed.

        :returns: whether a relay has lost the lead.
        """
        values = {**lock_halves(RELAY_LOCK), "timeout": timeout}
        return any(row[0] for row in conn.execute(statements.sessions.END_SILENT_LOCK_HOLDERS, values))

    @staticmethod
    def try_lead(conn: Connection) -> bool:
        """Become the one relay that leads, for as long as ``conn`` stays open."""
        row = conn.execute(statements.sessions.TRY_LOCK, {"key": RELAY_LOCK}).fetchone()
        return row is not None and bool(row[0])

    @repeat_rolled_back
    def _end_overdue(self, job: UUID) -> bool:
        with self._database.transaction() as conn:
            conn.execute(statements.cancel_retry.LOCK_SHARDS, {"job": job})
            return end_job(conn, job, State.FAILED, _overdue(conn, job))

    @repeat_rolled_back
    def _expire_some(self) -> int:
        with self._database.transaction() as conn:
            return expire_leases(conn, "the worker was lost: its lease ran out", MAX_EXPIRED)


def _overdue(conn: Connection, job: UUID) -> str:
    """Record that a job is overdue. Returns its error: what it has not done, if its rows were committed as it ran."""
    row = conn.execute(statements.maintenance.EXPIRE_JOB, {"job": job}).fetchone()
    kind, total, left = row or (None, None, None)
    if kind != JobKind.GENERATE:
        return "the job's timeout ran out before it was done"
    if total is None:
        return "the job's timeout ran out before its rows were counted; retry goes on with them"
    return f"the job's timeout ran out: {left:,} of {total:,} rows were not run; retry goes on with them"
