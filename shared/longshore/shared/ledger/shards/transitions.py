"""The steps of the state machine. Each runs within the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from longshore.shared.errors import AttemptLost, ResultsPruned
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection
from longshore.shared.ledger.records import AttemptId, Claim
from longshore.shared.vocabulary import State


def claim_key(claim: AttemptId) -> dict[str, object]:
    """The parameters that name an attempt in a statement."""
    return {"job": claim.job_id, "shard": claim.shard, "attempt": claim.attempt}


def claim_keys(claims: Sequence[Claim]) -> dict[str, list[UUID] | list[int]]:
    """The parameters that name several attempts in a statement."""
    return {
        "jobs": [claim.job_id for claim in claims],
        "shards": [claim.shard for claim in claims],
        "attempts": [claim.attempt for claim in claims],
    }


def row_range(claim: Claim) -> dict[str, object]:
    """The parameters that name the rows of a shard in a statement."""
    return {"job": claim.job_id, "start": claim.start, "stop": claim.stop}


def attempt_lost(claim: Claim) -> AttemptLost:
    """The error of an attempt that is not the current one."""
    return AttemptLost(f"attempt {claim.token} is not the current one; nothing of it is committed")


def check_fence(conn: Connection, claim: Claim) -> bool:
    """Whether the attempt is the current one. If it is, no other can become so until the transaction ends."""
    return conn.execute(statements.fence.CHECK_FENCE, claim_key(claim)).fetchone() is not None


def pass_fence(conn: Connection, claim: Claim, rows: int) -> None:
    """Mark the shard as succeeded, which only its current attempt can.

    :param rows: rows for which the attempt has results.
    :raises AttemptLost: the attempt is not the current one.
    """
    if conn.execute(statements.attempts.FINISH_SHARD, {**claim_key(claim), "rows": rows}).fetchone() is None:
        raise attempt_lost(claim)
    fault_point("ledger:fenced")


def decide_output_file(conn: Connection, claim: Claim, output_file: str, notes: Sequence[str]) -> None:
    """Decide which file is the shard's output file. Only the current attempt can, and only once.

    :param notes: see :func:`count_done`.
    :raises AttemptLost: the attempt is not the current one.
    """
    values = {**claim_key(claim), "output_file": output_file}
    if conn.execute(statements.attempts.DECIDE_OUTPUT_FILE, values).fetchone() is None:
        raise attempt_lost(claim)
    add_notes(conn, claim.job_id, notes)


def add_notes(conn: Connection, job: UUID, notes: Sequence[str]) -> None:
    """Add sentences to a job's notes, each once."""
    if notes:
        conn.execute(statements.attempts.ADD_NOTES, {"job": job, "notes": _distinct(notes)})


def count_done(
    conn: Connection,
    claim: Claim,
    *,
    rows: int,
    failed: int = 0,
    added: int = 0,
    rows_total: int | None = None,
    outcome: Mapping[str, JsonValue] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Count a shard that has passed the fence as done. The job ends with its last shard.

    :param rows: rows that have results.
    :param failed: rows that have errors.
    :param added: shards that a planning shard has added.
    :param notes: sentences to add to the job's notes, each once.
    """
    values = {
        **{"job": claim.job_id, "rows": rows, "failed": failed, "added": added, "rows_total": rows_total},
        "outcome": None if outcome is None else Jsonb(outcome),
        "notes": _distinct(notes),
    }
    conn.execute(statements.attempts.COUNT_SHARD_DONE, values)
    fault_point("ledger:counted")
    conn.execute(statements.attempts.SETTLE_JOBS, {"jobs": [claim.job_id]})


def fail_shard(conn: Connection, job: UUID, shard: int, attempt: int, error: str, *, permanent: bool) -> State | None:
    """Count one attempt as failed: its shard is queued again if it has attempts left, or else fails.

    :param permanent: another attempt cannot succeed, so the job ends now. The caller has locked all its shards.
    :returns: the shard's state; ``None`` if the attempt is not the current one.
    """
    values = {"job": job, "shard": shard, "attempt": attempt, "error": error, "permanent": permanent}
    row = conn.execute(statements.attempts.FAIL_SHARD, values).fetchone()
    if row is None:
        return None
    fault_point("ledger:attempt_failed")
    state = State(row[0])
    if state is State.QUEUED:
        conn.execute(statements.attempts.NOTIFY_TICKETS)
        return state
    _count_failed(conn, {job: 1}, error)
    if permanent:
        end_job(conn, job, State.FAILED, error)
    else:
        conn.execute(statements.attempts.SETTLE_JOBS, {"jobs": [job]})
    return state


def expire_leases(conn: Connection, error: str, limit: int) -> int:
    """Count attempts whose lease has run out as failed, all in one statement.

    :param error: the sentence that the shards record.
    :param limit: the most attempts.
    :returns: how many there were.
    """
    counts = conn.execute(statements.attempts.EXPIRE_LEASES, {"error": error, "limit": limit}).fetchall()
    ended = sum(int(count) for _, count, _ in counts)
    failed = {job: count for job, _, count in counts if count}
    fault_point("ledger:leases_expired")
    if failed:
        _count_failed(conn, failed, error)
        conn.execute(statements.attempts.SETTLE_JOBS, {"jobs": list(failed)})
    if ended > sum(failed.values()):
        conn.execute(statements.attempts.NOTIFY_TICKETS)
    return ended


def _count_failed(conn: Connection, failed: Mapping[UUID, int], error: str) -> None:
    values = {"jobs": list(failed), "failed": list(failed.values()), "error": error}
    conn.execute(statements.attempts.COUNT_SHARDS_FAILED, values)


def end_job(conn: Connection, job: UUID, state: State, error: str | None) -> bool:
    """End a job and all of its shards that have not ended. The caller has locked the shards.

    :returns: ``False`` if the job had ended before.
    """
    conn.execute(statements.cancel_retry.CANCEL_SHARDS, {"job": job})
    fault_point("ledger:shards_cancelled")
    values = {"job": job, "state": state.value, "error": error}
    return conn.execute(statements.cancel_retry.END_JOB, values).fetchone() is not None


def check_not_pruned(conn: Connection, job: UUID) -> None:
    """:raises ResultsPruned: the results of the job were removed."""
    row = conn.execute(statements.queries.READ_PRUNED, {"job": job}).fetchone()
    if row is not None and row[0] is not None:
        moment = row[0].astimezone(UTC).isoformat(sep=" ", timespec="seconds")
        raise ResultsPruned("job", f"the results and the inline rows of {job} were pruned at {moment}; submit it again")


def _distinct(notes: Sequence[str]) -> Jsonb:
    return Jsonb(list(dict.fromkeys(notes)))
