"""Cancelling and retrying jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

from longshore.shared.errors import InvalidInput, UnknownJob
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database
from longshore.shared.ledger.jobs.chains import is_unready, revive_downstream, wait_again
from longshore.shared.ledger.jobs.open_jobs import OpenJobsLimit
from longshore.shared.ledger.records import Ticket
from longshore.shared.ledger.shards.transitions import check_not_pruned, end_job
from longshore.shared.vocabulary import JobKind, State

#: The most tickets that who retries a job publishes: publishing a hundred thousand takes seconds.
MAX_TICKETS: Final = 1000


class Control:
    """The part of the ledger that cancels and retries jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: Of those who retry with this ledger.
        self.limit: OpenJobsLimit | None = None

    def cancel(self, job: UUID, reason: str = "cancelled") -> bool:
        """End a job now. Running attempts notice at their next renewal, and can commit nothing from here on.

        :returns: ``False`` if the job had ended before.
        :raises UnknownJob: there is no such job.
        """

        def change(conn: Connection) -> bool:
            conn.execute(statements.cancel_retry.LOCK_SHARDS, {"job": job})
            fault_point("ledger:shards_locked")
            ended = end_job(conn, job, State.CANCELLED, reason)
            if not ended:
                read_state(conn, job)
            return ended

        return self._database.change(change)

    def retry(self, job: UUID) -> list[Ticket]:
        """Queue again every shard of a failed or cancelled job that has not succeeded.

        Jobs of its chain that ended because of it wait again. A job that ended before it was ready waits again, too.

        :returns: the tickets to publish; none if there are more than ``MAX_TICKETS``, which the relay publishes.
        :raises UnknownJob: there is no such job.
        :raises InvalidInput: the job has not ended, has succeeded, or all its shards have succeeded.
        :raises QueueFull: there are as many jobs as this ledger allows.
        :raises ResultsPruned: the results of its succeeded shards were removed.
        """
        return self._queue_again(job, _retry_shards)

    def retry_failed_rows(self, job: UUID) -> list[Ticket]:
        """Queue again the rows of an ended job that have errors, and the shards that have not succeeded.

        The errors stay until the rows have run again, or, if the job generates text, begin to.

        :returns: the tickets to publish; none if there are more than ``MAX_TICKETS``, which the relay publishes.
        :raises UnknownJob: there is no such job.
        :raises InvalidInput: the job has not ended, nothing of it failed, or it writes files.
        :raises ResultsPruned: its results and errors were removed.
        """
        return self._queue_again(job, _retry_failed_rows)

    def _queue_again(self, job: UUID, retry: Callable[[Connection, UUID], list[Ticket]]) -> list[Ticket]:
        """Call ``retry`` with the shards of a job locked. If the job is not ready, it only waits again."""

        def change(conn: Connection) -> list[Ticket] | None:
            tickets: list[Ticket] | None = []
            if not wait_again(conn, job):
                conn.execute(statements.cancel_retry.LOCK_SHARDS, {"job": job})
                # Another may have ended the job while it was waiting and not yet locked.
                tickets = None if is_unready(conn, job) else retry(conn, job)
            if tickets is not None and self.limit is not None:
                self.limit.check(conn)
            return tickets

        while (tickets := self._database.change(change)) is None:
            pass
        return tickets


def _retry_shards(conn: Connection, job: UUID) -> list[Ticket]:
    check_not_pruned(conn, job)
    rows = conn.execute(statements.cancel_retry.RETRY_SHARDS, {"job": job}).fetchall()
    if not rows:
        raise InvalidInput("job", _why_not(job, read_state(conn, job)))
    _queue_again(conn, job)
    return _tickets(conn, rows)


def _retry_failed_rows(conn: Connection, job: UUID) -> list[Ticket]:
    check_not_pruned(conn, job)
    _check_rows(conn, job)
    rows = conn.execute(statements.cancel_retry.RETRY_FAILED_ROWS, {"job": job}).fetchall()
    if not rows:
        state = read_state(conn, job)
        reason = f"no row of {job} failed" if state.final else f"{job} is {state}; wait until it has ended"
        raise InvalidInput("job", reason)
    _queue_again(conn, job, shards=sum(succeeded for *_, succeeded, _ in rows), rows=sum(failed for *_, failed in rows))
    return _tickets(conn, [row for *row, _, _ in rows])


def _tickets(conn: Connection, rows: Sequence[Sequence[Any]]) -> list[Ticket]:
    """The tickets that the caller publishes: none if there are many, which the relay publishes in batches."""
    if len(rows) <= MAX_TICKETS:
        return [Ticket(*row) for row in rows]
    conn.execute(statements.attempts.NOTIFY_TICKETS)
    return []


def read_state(conn: Connection, job: UUID) -> State:
    """The state of a job.

    :raises UnknownJob: there is no such job.
    """
    row = conn.execute(statements.queries.READ_STATE, {"job": job}).fetchone()
    if row is None:
        raise UnknownJob("job", f"there is no job {job}")
    return State(row[0])


def _queue_again(conn: Connection, job: UUID, shards: int = 0, rows: int = 0) -> None:
    """Queue the job.

    :raises ResultsPruned: its results were removed in the meantime.
    """
    fault_point("ledger:shards_queued_again")
    if conn.execute(statements.cancel_retry.RETRY_JOB, {"job": job, "shards": shards, "rows": rows}).fetchone() is None:
        check_not_pruned(conn, job)
    fault_point("ledger:job_queued_again")
    revive_downstream(conn, job)


def _check_rows(conn: Connection, job: UUID) -> None:
    """Make sure that rows of a job can run again by themselves.

    :raises InvalidInput: they cannot.
    """
    row = conn.execute(statements.cancel_retry.READ_OUTPUT, {"job": job}).fetchone()
    kind, output = row or (None, None)
    if kind not in (None, JobKind.INFER, JobKind.GENERATE):
        raise InvalidInput(
            "rows", f"{job} is of kind {kind}, which runs as a whole; correct the rows and submit it again"
        )
    if output is not None:
        raise InvalidInput(
            "rows",
            f"{job} writes files, to which rows cannot be added; correct the rows and submit them as a new job",
        )


def _why_not(job: UUID, state: State) -> str:
    if state is State.FAILED:
        again = (
            "to run the rows that failed once more, retry with rows='failed' (--rows failed); if that is refused, "
            "correct the rows and submit it again"
        )
        return f"every shard of {job} was run; {again}"
    return f"{job} is {state}; only a failed or cancelled job can be retried"
