"""What a producer does to a job that it has submitted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from longshore.shared.errors import InvalidInput, UnknownJob
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database
from longshore.shared.ledger.jobs.chains import is_unready, revive_downstream, wait_again
from longshore.shared.ledger.records import Ticket
from longshore.shared.ledger.shards.transitions import check_not_pruned, end_job
from longshore.shared.vocabulary import State


class Control:
    """Cancel and retry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cancel(self, job: UUID, reason: str = "cancelled") -> bool:
        """End a job now. Attempts that run notice at their next renewal, and can commit nothing from here on.

        :returns: ``False`` where the job had ended before.
        :raises UnknownJob: there is no such job.
        """
        with self._database.transaction() as conn:
            conn.execute(statements.cancel_retry.LOCK_SHARDS, {"job": job})
            ended = end_job(conn, job, State.CANCELLED, reason)
            if not ended:
                read_state(conn, job)
        return ended

    def retry(self, job: UUID) -> list[Ticket]:
        """Queue again every shard of a failed or cancelled job that did not succeed.

        The links of its chain that were ended because of it wait again; so does one that was ended before it was ready.

        :returns: the tickets to publish.
        :raises UnknownJob: there is no such job.
        :raises InvalidInput: the job has not ended, has succeeded, or no shard of it is left to run.
        :raises ResultsPruned: what has succeeded of it is not there any more.
        """
        with self._held(job) as conn:
            if conn is None:
                return []
            check_not_pruned(conn, job)
            rows = conn.execute(statements.cancel_retry.RETRY_SHARDS, {"job": job}).fetchall()
            if not rows:
                raise InvalidInput("job", _why_not(job, read_state(conn, job)))
            _queue_again(conn, job)
        return [Ticket(*row) for row in rows]

    def retry_failed_rows(self, job: UUID) -> list[Ticket]:
        """Queue again the rows of an ended job that have errors, and the shards that did not succeed.

        The errors stay until the rows have run again.

        :returns: the tickets to publish.
        :raises UnknownJob: there is no such job.
        :raises InvalidInput: the job has not ended, nothing of it failed, or it writes files.
        :raises ResultsPruned: its results and errors are not there any more.
        """
        with self._held(job) as conn:
            if conn is None:
                return []
            check_not_pruned(conn, job)
            _check_rows(conn, job)
            rows = conn.execute(statements.cancel_retry.RETRY_FAILED_ROWS, {"job": job}).fetchall()
            if not rows:
                state = read_state(conn, job)
                ended = f"no row of {job} failed" if state.final else f"{job} is {state}; wait until it has ended"
                raise InvalidInput("job", ended)
            again = [failed for *_, done, failed in rows if done]
            _queue_again(conn, job, shards=len(again), rows=sum(again))
        return [Ticket(*row) for *row, _, _ in rows]

    @contextmanager
    def _held(self, job: UUID) -> Iterator[Connection | None]:
        """A transaction that holds the shards of a job; ``None`` where it is a link, and waits again."""
        while True:
            with self._database.transaction() as conn:
                if wait_again(conn, job):
                    yield None
                    return
                conn.execute(statements.cancel_retry.LOCK_SHARDS, {"job": job})
                # Somebody may have ended a link that waited until it was held.
                if not is_unready(conn, job):
                    yield conn
                    return


def read_state(conn: Connection, job: UUID) -> State:
    """:raises UnknownJob: there is no such job."""
    found = conn.execute(statements.queries.READ_STATE, {"job": job}).fetchone()
    if found is None:
        raise UnknownJob("job", f"there is no job {job}")
    return State(found[0])


def _queue_again(conn: Connection, job: UUID, shards: int = 0, rows: int = 0) -> None:
    """:raises ResultsPruned: in this moment."""
    if conn.execute(statements.cancel_retry.RETRY_JOB, {"job": job, "shards": shards, "rows": rows}).fetchone() is None:
        check_not_pruned(conn, job)
    revive_downstream(conn, job)


def _check_rows(conn: Connection, job: UUID) -> None:
    """:raises InvalidInput: rows of the job cannot be run by themselves."""
    found = conn.execute(statements.cancel_retry.READ_OUTPUT, {"job": job}).fetchone()
    if found is not None and found[0] != "infer":
        raise InvalidInput(
            "rows", f"{job} is one of kind {found[0]}, which runs as a whole; mend the rows and submit it again"
        )
    if found is not None and found[1] is not None:
        raise InvalidInput(
            "rows", f"{job} writes files, to which rows cannot be added; mend the rows and submit them as another job"
        )


def _why_not(job: UUID, state: State) -> str:
    if state is State.FAILED:
        again = (
            "to run the rows that failed once more, retry with rows='failed' (--rows failed); where that is refused, "
            "mend the rows and submit it again"
        )
        return f"every shard of {job} was run; {again}"
    return f"{job} is {state}; only a failed or cancelled job can be retried"
