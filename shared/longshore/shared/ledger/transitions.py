"""The steps of the state machine, each within a transaction that somebody else opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from longshore.shared.errors import AttemptLost, ResultsPruned
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Link
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.jobs import State


def claim_key(claim: Claim) -> dict[str, object]:
    """What names an attempt in a statement."""
    return {"job": claim.job_id, "shard": claim.shard, "attempt": claim.attempt}


def row_range(claim: Claim) -> dict[str, object]:
    """What names the rows of a shard in a statement."""
    return {"job": claim.job_id, "start": claim.start, "stop": claim.stop}


def pass_fence(link: Link, claim: Claim, rows: int) -> None:
    """Mark the shard as succeeded, which only its current attempt can.

    :param rows: rows that the attempt has results of.
    :raises AttemptLost: the attempt is not the current one.
    """
    if link.execute(statements.attempts.FINISH_SHARD, {**claim_key(claim), "rows": rows}).fetchone() is None:
        raise AttemptLost(f"attempt {claim.token} is not the current one; nothing of it is kept")


def decide_part(link: Link, claim: Claim, part: str, notes: Sequence[str]) -> None:
    """Settle which file is the shard's, which only its current attempt can, and only once.

    :param notes: as of :func:`count_done`.
    :raises AttemptLost: the attempt is not the current one.
    """
    if link.execute(statements.attempts.DECIDE_PART, {**claim_key(claim), "part": part}).fetchone() is None:
        raise AttemptLost(f"attempt {claim.token} is not the current one; nothing of it is kept")
    add_notes(link, claim.job_id, notes)


def add_notes(link: Link, job: UUID, notes: Sequence[str]) -> None:
    """Add sentences to a job's, each once."""
    if notes:
        link.execute(statements.attempts.ADD_NOTES, {"job": job, "notes": _distinct(notes)})


def count_done(
    link: Link,
    claim: Claim,
    *,
    rows: int,
    failed: int = 0,
    added: int = 0,
    rows_total: int | None = None,
    outcome: Mapping[str, JsonValue] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Add a shard that passed the fence to its job, and end the job with its last one.

    :param rows: rows that have results.
    :param failed: rows that have errors.
    :param added: shards that a planning shard cut.
    :param notes: sentences to add to the job's, each once.
    """
    values = {
        **{"job": claim.job_id, "rows": rows, "failed": failed, "added": added, "rows_total": rows_total},
        "outcome": None if outcome is None else Jsonb(outcome),
        "notes": _distinct(notes),
    }
    link.execute(statements.attempts.COUNT_SHARD_DONE, values)
    link.execute(statements.attempts.SETTLE_JOBS, {"jobs": [claim.job_id]})


def fail_shard(link: Link, job: UUID, shard: int, attempt: int, error: str, *, permanent: bool) -> State | None:
    """Count one attempt as failed: its shard is queued again while it has tries left, else given up.

    :param permanent: no try can succeed; the job ends now. The caller holds all shards of the job then.
    :returns: the shard's state, or ``None`` where the attempt is not the current one.
    """
    values = {"job": job, "shard": shard, "attempt": attempt, "error": error, "permanent": permanent}
    row = link.execute(statements.attempts.FAIL_SHARD, values).fetchone()
    if row is None:
        return None
    state = State(row[0])
    if state is State.QUEUED:
        link.execute(statements.attempts.NOTIFY_TICKETS)
        return state
    link.execute(statements.attempts.COUNT_SHARD_FAILED, {"job": job, "error": error})
    if permanent:
        end_job(link, job, State.FAILED, error)
    else:
        link.execute(statements.attempts.SETTLE_JOBS, {"jobs": [job]})
    return state


def end_job(link: Link, job: UUID, state: State, error: str | None) -> bool:
    """End a job and all of its shards that have not ended. The caller holds the shards.

    :returns: ``False`` where the job had ended before.
    """
    link.execute(statements.control.CANCEL_SHARDS, {"job": job})
    values = {"job": job, "state": state.value, "error": error}
    return link.execute(statements.control.END_JOB, values).fetchone() is not None


def check_not_pruned(link: Link, job: UUID) -> None:
    """:raises ResultsPruned: the results of the job were removed."""
    row = link.execute(statements.questions.READ_PRUNED, {"job": job}).fetchone()
    if row is not None and row[0] is not None:
        moment = row[0].astimezone(UTC).isoformat(sep=" ", timespec="seconds")
        raise ResultsPruned("job", f"the results and the inline rows of {job} were pruned at {moment}; submit it again")


def _distinct(notes: Sequence[str]) -> Jsonb:
    return Jsonb(list(dict.fromkeys(notes)))
