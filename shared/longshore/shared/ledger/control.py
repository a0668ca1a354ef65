"""What a producer does to a job that it has submitted."""

from __future__ import annotations

from uuid import UUID

from longshore.shared.errors import InvalidInput, UnknownJob
from longshore.shared.jobs import State
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, Link
from longshore.shared.ledger.records import Ticket
from longshore.shared.ledger.transitions import end_job


class Control:
    """Cancel and retry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cancel(self, job: UUID, reason: str = "cancelled") -> bool:
        """End a job now. Attempts that run notice at their next renewal, and can commit nothing from here on.

        :returns: ``False`` where the job had ended before.
        :raises UnknownJob: there is no such job.
        """
        with self._database.transaction() as link:
            link.execute(statements.LOCK_SHARDS, {"job": job})
            ended = end_job(link, job, State.CANCELLED, reason)
            if not ended:
                read_state(link, job)
        return ended

    def retry(self, job: UUID) -> list[Ticket]:
        """Queue again every shard of a failed or cancelled job that did not succeed.

        :returns: the tickets to publish.
        :raises UnknownJob: there is no such job.
        :raises InvalidInput: the job has not ended, has succeeded, or no shard of it is left to run.
        """
        with self._database.transaction() as link:
            link.execute(statements.LOCK_SHARDS, {"job": job})
            rows = link.execute(statements.RETRY_SHARDS, {"job": job}).fetchall()
            if not rows:
                raise InvalidInput("job", _why_not(job, read_state(link, job)))
            link.execute(statements.RETRY_JOB, {"job": job})
        return [Ticket(*row) for row in rows]


def read_state(link: Link, job: UUID) -> State:
    """:raises UnknownJob: there is no such job."""
    found = link.execute(statements.READ_STATES, {"jobs": [job]}).fetchone()
    if found is None:
        raise UnknownJob("job", f"there is no job {job}")
    return State(found[1])


def _why_not(job: UUID, state: State) -> str:
    if state is State.FAILED:
        return f"every shard of {job} was run; the rows that failed are in job.errors(): mend and submit them again"
    return f"{job} is {state}; only a failed or cancelled job can be retried"
