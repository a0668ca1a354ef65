"""Chains: jobs that wait until another job has succeeded, and run on the version that it has used or made.

A job that depends on another is in the state ``waiting``, as its shards are, and has a row in ``job_dependencies`` that
names its upstream job. Only the ledger knows of it: the relay calls :meth:`Chains.advance`, which queues the job once
the upstream job has succeeded, or ends it if the upstream job did not succeed.

Locks go down a chain: a job, then the shards of the next job, then that job.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from longshore.shared.errors import InvalidInput
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, records
from longshore.shared.ledger.postgres.repeating import repeat_read, repeat_rolled_back
from longshore.shared.ledger.shards.transitions import end_job
from longshore.shared.vocabulary import FINAL_STATES, JobKind, State

#: Kinds whose outcome names a new version. A job of another kind passes on the version that it ran.
VERSION_MAKING_KINDS: Final = frozenset({JobKind.TRAIN, JobKind.TUNE})


@dataclass(frozen=True)
class _Upstream:
    """The job that another depends on. It does not change until the transaction ends."""

    state: State
    error: str | None
    kind: str
    version: int | None
    digest: str | None
    outcome: dict[str, JsonValue] | None
    #: It ended because the job upstream of it did.
    upstream_failed: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", State(self.state))


class Chains:
    """The part of the ledger that moves chains on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def advance(self) -> int:
        """Queue or end every waiting job whose upstream job has ended.

        Calls can be repeated and can run in parallel without harm.

        :returns: the number of jobs that were queued or ended.
        """
        advanced = 0
        while True:
            with self._database.connection() as conn:
                due = conn.execute(statements.chains.DUE_JOBS).fetchall()
            moved = 0
            for job, depends_on in due:
                moved += self._advance(job, depends_on)
            advanced += moved
            if not moved:
                return advanced

    @repeat_rolled_back
    def _advance(self, job: UUID, depends_on: UUID) -> bool:
        with self._database.transaction() as conn:
            return _advance(conn, job, depends_on)

    @repeat_read
    def of(self, job: UUID) -> list[UUID]:
        """Every job of the chain that a job is part of, each after the job that it depends on."""
        with self._database.connection() as conn:
            return [row[0] for row in conn.execute(statements.chains.LIST_CHAIN, {"job": job})]


def is_unready(conn: Connection, job: UUID) -> bool:
    """Whether a job of a chain has ended before its upstream job had succeeded."""
    return conn.execute(statements.chains.READ_UNREADY, {"job": job}).fetchone() is not None


def wait_again(conn: Connection, job: UUID) -> bool:
    """Let a job that has ended before it was ready wait again, and with it the jobs that depend on it.

    :returns: ``False`` if the job has not ended that way.
    :raises InvalidInput: its upstream job has failed or was cancelled.
    """
    row = conn.execute(statements.chains.READ_UNREADY, {"job": job}).fetchone()
    if row is None:
        return False
    upstream = _read_upstream(conn, row[0])
    if upstream is not None and upstream.state in FINAL_STATES and upstream.state is not State.SUCCEEDED:
        raise InvalidInput(
            "job", f"{job} comes after {row[0]}, which is {upstream.state}; retry that one, and this one waits again"
        )
    _wait(conn, job)
    revive_downstream(conn, job)
    return True


def revive_downstream(conn: Connection, job: UUID) -> None:
    """Let the jobs that ended because of this one wait again. The caller has locked the job."""
    for (downstream,) in conn.execute(statements.chains.LIST_DOWNSTREAM_FAILED, {"job": job}).fetchall():
        _wait(conn, downstream)


def _wait(conn: Connection, job: UUID) -> None:
    conn.execute(statements.cancel_retry.LOCK_SHARDS, {"job": job})
    conn.execute(statements.chains.WAIT_JOB, {"job": job})
    conn.execute(statements.chains.WAIT_SHARDS, {"job": job})
    conn.execute(statements.chains.SET_UPSTREAM_FAILED, {"job": job, "failed": False})


def _advance(conn: Connection, job: UUID, depends_on: UUID) -> bool:
    upstream = _read_upstream(conn, depends_on)
    if upstream is None or upstream.state not in FINAL_STATES:
        return False
    conn.execute(statements.cancel_retry.LOCK_SHARDS, {"job": job})
    if upstream.state is not State.SUCCEEDED:
        error = upstream.error if upstream.upstream_failed else _reason(depends_on, upstream)
        ended = end_job(conn, job, upstream.state, error)
        fault_point("ledger:dependent_job_ended")
        if ended:
            conn.execute(statements.chains.SET_UPSTREAM_FAILED, {"job": job, "failed": True})
        return ended
    outcome = upstream.outcome if upstream.kind in VERSION_MAKING_KINDS and upstream.outcome is not None else {}
    version, digest = outcome.get("version", upstream.version), outcome.get("digest", upstream.digest)
    values = {"job": job, "version": version, "digest": digest}
    if conn.execute(statements.chains.READY_JOB, values).fetchone() is None:
        return False
    fault_point("ledger:dependent_job_ready")
    conn.execute(statements.chains.READY_SHARDS, {"job": job})
    fault_point("ledger:dependent_shards_ready")
    conn.execute(statements.chains.READY_DEPENDENCY, {"job": job})
    return True


def _read_upstream(conn: Connection, job: UUID) -> _Upstream | None:
    return records(conn, _Upstream).execute(statements.chains.READ_UPSTREAM, {"job": job}).fetchone()


def _reason(job: UUID, upstream: _Upstream) -> str:
    detail = "" if upstream.error in (None, str(upstream.state)) else f": {upstream.error}"
    return f"job {job} {upstream.state}{detail}"
