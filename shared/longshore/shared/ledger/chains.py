"""Chains: jobs that wait until another has succeeded, and run on the version that it used or made.

A link is a job in the state ``waiting``, with its shards, and a row in ``links`` that names the job before it. Nothing
but the ledger knows of it: whoever looks after the ledger makes it ready, or ends it, once the job before has ended.

Locks go down a chain: a job, then the shards of the next, then that job.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, Link, records
from longshore.shared.ledger.transitions import end_job
from longshore.shared.specs.jobs import FINAL, State

#: Kinds whose outcome names a version that they have made; the others pass on the one that they ran.
MAKING: Final = frozenset({"train", "tune"})


@dataclass(frozen=True)
class _Prior:
    """The job before a link, which stays as it is until the transaction ends."""

    state: State
    error: str | None
    kind: str
    version: int | None
    digest: str | None
    outcome: dict[str, JsonValue] | None
    #: It was ended because of the job before it.
    broken: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", State(self.state))


class Chains:
    """The part of the ledger that moves chains on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def advance(self) -> int:
        """Make ready, or end, every link whose job before has ended. Returns how many. Can be done twice or by two."""
        advanced = 0
        while True:
            with self._database.connection() as link:
                due = link.execute(statements.chains.DUE_LINKS).fetchall()
            moved = 0
            for job, after in due:
                with self._database.transaction() as link:
                    moved += _advance(link, job, after)
            advanced += moved
            if not moved:
                return advanced

    def of(self, job: UUID) -> list[UUID]:
        """Every job of a chain, whichever of them is asked for: each after the one that it waits for."""
        with self._database.connection() as link:
            return [row[0] for row in link.execute(statements.chains.WHOLE_CHAIN, {"job": job})]


def is_unready(link: Link, job: UUID) -> bool:
    """Whether a job is a link that was ended before it was ready."""
    return link.execute(statements.chains.UNREADY_LINK, {"job": job}).fetchone() is not None


def wait_again(link: Link, job: UUID) -> bool:
    """Of a link that was ended before it was ready: let it wait again, and those after it.

    :returns: ``False`` where the job is no such link.
    :raises InvalidInput: the job before it has failed, or was cancelled.
    """
    row = link.execute(statements.chains.UNREADY_LINK, {"job": job}).fetchone()
    if row is None:
        return False
    prior = _read_prior(link, row[0])
    if prior is not None and prior.state in FINAL and prior.state is not State.SUCCEEDED:
        raise InvalidInput(
            "job", f"{job} comes after {row[0]}, which is {prior.state}; retry that one, and this one waits again"
        )
    _wait(link, job)
    revive_later(link, job)
    return True


def revive_later(link: Link, job: UUID) -> None:
    """Let the links wait again that were ended because of a job. The caller holds the job."""
    for (later,) in link.execute(statements.chains.BROKEN_LATER, {"job": job}).fetchall():
        _wait(link, later)


def _wait(link: Link, job: UUID) -> None:
    link.execute(statements.control.LOCK_SHARDS, {"job": job})
    link.execute(statements.chains.WAIT_JOB, {"job": job})
    link.execute(statements.chains.WAIT_SHARDS, {"job": job})
    link.execute(statements.chains.MEND_LINK, {"job": job})


def _advance(link: Link, job: UUID, after: UUID) -> bool:
    prior = _read_prior(link, after)
    if prior is None or prior.state not in FINAL:
        return False
    link.execute(statements.control.LOCK_SHARDS, {"job": job})
    if prior.state is not State.SUCCEEDED:
        ended = end_job(link, job, prior.state, prior.error if prior.broken else _reason(after, prior))
        if ended:
            link.execute(statements.chains.BREAK_LINK, {"job": job})
        return ended
    made = prior.outcome if prior.kind in MAKING and prior.outcome is not None else {}
    version, digest = made.get("version", prior.version), made.get("digest", prior.digest)
    values = {"job": job, "version": version, "digest": digest}
    if link.execute(statements.chains.READY_JOB, values).fetchone() is None:
        return False
    link.execute(statements.chains.READY_SHARDS, {"job": job})
    link.execute(statements.chains.READY_LINK, {"job": job})
    return True


def _read_prior(link: Link, job: UUID) -> _Prior | None:
    return records(link, _Prior).execute(statements.chains.READ_PRIOR, {"job": job}).fetchone()


def _reason(job: UUID, prior: _Prior) -> str:
    said = "" if prior.error in (None, str(prior.state)) else f": {prior.error}"
    return f"job {job} {prior.state}{said}"
