"""Commits rows while their shards run, so that a worker that is lost leaves what it has done.

Many small shards and parts of large ones are committed in one transaction. It passes the fence of each: from the lock
on a shard whose attempt is current, no other attempt can become so until the transaction ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from psycopg import Rollback

from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database
from longshore.shared.ledger.postgres.repeating import repeat_read, repeat_rolled_back
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.copy_rows import copy_row_errors, copy_statement
from longshore.shared.ledger.shards.transitions import add_notes, attempt_lost, claim_key, claim_keys, row_range


def generate_batch_key(model_key: str, engine: str) -> str:
    """The batch key of small shards that generate text, 32 hexadecimal digits: whose requests can share an engine.

    :param model_key: that of the version's files without its adapter.
    :param engine: the option of the job.
    """
    return hashlib.sha256(f"generate\n{model_key}\n{engine}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class DoneRows:
    """The rows of a shard that are committed, by their numbers in the job."""

    results: frozenset[int] = frozenset()
    errors: frozenset[int] = frozenset()

    def __contains__(self, row: int) -> bool:
        return row in self.results or row in self.errors

    def __len__(self) -> int:
        return len(self.results) + len(self.errors)


@dataclass(frozen=True, kw_only=True)
class CommittedRows:
    """Rows of one shard that are done, to be committed."""

    claim: Claim
    #: How many have results.
    rows: int
    #: Why rows have none, by their number in the job.
    errors: Mapping[int, str] = field(default_factory=dict)
    #: The keys of rows that have errors, as JSON texts.
    keys: Mapping[int, str] = field(default_factory=dict)
    #: Set for the last rows of the shard: how many of its rows have results, with those that were committed before.
    finished_rows: int | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    #: Seconds since the attempt began to compute rows of the shard.
    seconds: float = 0.0
    #: The numbers of those whose texts were saved while they were generated: what was saved is removed.
    saved: Sequence[int] = ()
    #: What the job's owner should know though nothing failed, a sentence each.
    notes: Sequence[str] = ()

    @property
    def name(self) -> tuple[UUID, int]:
        """The job and the index of the shard."""
        return self.claim.job_id, self.claim.shard


@dataclass(frozen=True)
class WaitingShard:
    """A published shard that no worker has claimed."""

    queue: str
    priority: int
    job_id: UUID
    batch_key: str | None


@repeat_read
def forget_failed_rows(database: Database, claim: Claim) -> None:
    """Remove the errors of a shard's rows, so that they run again.

    :raises AttemptLost: the attempt is not the current one.
    """
    with database.transaction() as conn:
        if conn.execute(statements.batching.FORGET_FAILED, claim_key(claim)).fetchone() is None:
            raise attempt_lost(claim)


@repeat_read
def done_rows(database: Database, claim: Claim) -> DoneRows:
    """The rows of a shard that have a result or an error."""
    with database.connection() as conn:
        rows = conn.execute(statements.batching.DONE_ROWS, row_range(claim)).fetchall()
    return DoneRows(
        frozenset(row for row, failed in rows if not failed), frozenset(row for row, failed in rows if failed)
    )


@repeat_read
def renew_many(database: Database, claims: Sequence[Claim], lease: float) -> set[tuple[UUID, int]]:
    """Extend the leases of attempts, in one statement.

    :param lease: seconds from now.
    :returns: the shards whose attempt is not the current one any more.
    """
    with database.connection() as conn:
        current = conn.execute(statements.batching.RENEW_MANY, {**claim_keys(claims), "lease": lease}).fetchall()
    return {(claim.job_id, claim.shard) for claim in claims} - set(current)


@repeat_rolled_back
def commit_rows(
    database: Database, parts: Sequence[CommittedRows], lines: memoryview, *, keyed: bool
) -> set[tuple[UUID, int]]:
    """Commit rows of some shards in one transaction, or none; see :class:`CommittedRows`.

    :param lines: the rows with results, as :func:`~longshore.shared.ledger.shards.copy_rows.result_lines` makes them.
    :param keyed: whether the lines have keys.
    :returns: the shards whose attempt is not the current one any more. If there are any, nothing is written: call again
        without them.
    """
    with database.transaction() as conn:
        current = conn.execute(statements.batching.LOCK_CURRENT, claim_keys([part.claim for part in parts])).fetchall()
        lost = {part.name for part in parts} - set(current)
        if lost:
            raise Rollback
        fault_point("ledger:rows_fenced")
        _write(conn, parts, lines, keyed)
        fault_point("ledger:rows_copied")
        values = _counts(parts)
        with conn.pipeline():
            if values["finished_jobs"]:
                conn.execute(statements.batching.FINISH_COMMITTED, values)
            conn.execute(statements.batching.COUNT_ROWS, values)
            if saved := [(part.claim.job_id, row) for part in parts for row in part.saved]:
                rows = {"jobs": [job for job, _ in saved], "rows": [row for _, row in saved]}
                conn.execute(statements.shards.partial_texts.DELETE_TEXTS_OF_ROWS, rows)
            for part in parts:
                add_notes(conn, part.claim.job_id, part.notes)
            conn.execute(statements.attempts.SETTLE_JOBS, {"jobs": sorted({part.claim.job_id for part in parts})})
    return lost


def _counts(parts: Sequence[CommittedRows]) -> dict[str, list[UUID] | list[int] | list[bool] | list[float]]:
    finished = [(part.name, part.finished_rows) for part in parts if part.finished_rows is not None]
    return {
        "jobs": [part.claim.job_id for part in parts],
        "rows": [part.rows for part in parts],
        "failed": [len(part.errors) for part in parts],
        "finished": [part.finished_rows is not None for part in parts],
        "prompt_tokens": [part.prompt_tokens for part in parts],
        "completion_tokens": [part.completion_tokens for part in parts],
        "cached_tokens": [part.cached_tokens for part in parts],
        "seconds": [part.seconds for part in parts],
        "finished_jobs": [job for (job, _), _ in finished],
        "finished_shards": [shard for (_, shard), _ in finished],
        "finished_rows": [rows for _, rows in finished],
    }


def _write(conn: Connection, parts: Sequence[CommittedRows], lines: memoryview, keyed: bool) -> None:
    if lines:
        with conn.cursor().copy(copy_statement(keyed)) as copy:
            copy.write(lines)
    if any(part.errors for part in parts):
        with conn.cursor().copy(statements.attempts.COPY_ROW_ERRORS) as copy:
            for part in parts:
                copy_row_errors(copy, part.claim.job_id, part.errors, part.keys)
