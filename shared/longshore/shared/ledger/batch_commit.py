"""Committing small shards together: one transaction for the outputs of many, each behind its own fence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from psycopg import Rollback

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.transitions import add_notes

#: Seconds a worker may hang within the transaction before Postgres ends it, so that the shards can be run elsewhere.
PATIENCE: Final = 30

#: The fence of many: gives those of which this attempt is the current one.
_FINISH_SHARDS: Final = """
    WITH held AS MATERIALIZED (
        SELECT shards.job_id, shards.index, done.rows, done.attempt
        FROM shards JOIN unnest(%(jobs)b::uuid[], %(shards)b::int[], %(attempts)b::int[], %(rows)b::bigint[])
            AS done (job_id, index, attempt, rows) USING (job_id, index, attempt)
        WHERE shards.state = 'running'
        ORDER BY shards.job_id, shards.index FOR UPDATE OF shards
    )
    UPDATE shards SET state = 'succeeded', lease_until = NULL, rows_done = held.rows
    FROM held
    WHERE shards.job_id = held.job_id AND shards.index = held.index AND shards.attempt = held.attempt
      AND shards.state = 'running'
    RETURNING shards.job_id, shards.index
"""
#: Whether a job ends with these shards, and nothing of it went wrong: such a row of the table is written once.
_CLEAN: Final = """
    jobs.state IN ('queued', 'running') AND shards_done + done.shards >= shards_total
    AND shards_failed = 0 AND rows_failed + done.failed = 0
"""
#: All other jobs that end are left to ``SETTLE_JOBS``.
_COUNT_SHARDS: Final = f"""
    WITH held AS MATERIALIZED (
        SELECT id FROM jobs WHERE id = ANY(%(jobs)b) ORDER BY id FOR UPDATE
    )
    UPDATE jobs
    SET shards_done = shards_done + done.shards, rows_done = rows_done + done.rows,
        rows_failed = rows_failed + done.failed,
        state = CASE WHEN {_CLEAN} THEN 'succeeded' ELSE jobs.state END,
        finished_at = CASE WHEN {_CLEAN} THEN now() ELSE finished_at END
    FROM (
        SELECT job_id, count(*) AS shards, sum(rows) AS rows, sum(failed) AS failed
        FROM unnest(%(jobs)b::uuid[], %(rows)b::bigint[], %(failed)b::bigint[]) AS each (job_id, rows, failed)
        GROUP BY job_id
    ) AS done JOIN held ON held.id = done.job_id
    WHERE jobs.id = done.job_id
"""


@dataclass(frozen=True)
class Finished:
    """A shard whose outputs are computed."""

    claim: Claim
    #: How many rows have results.
    rows: int
    #: Rows that have none, by their number in the job, and why.
    errors: Mapping[int, str] = field(default_factory=dict)
    #: What the job's owner should know though nothing failed, a sentence each.
    notes: Sequence[str] = ()

    @property
    def name(self) -> tuple[UUID, int]:
        """Of the shard."""
        return self.claim.job_id, self.claim.shard


def commit_together(database: Database, finished: Sequence[Finished], lines: memoryview) -> set[tuple[UUID, int]]:
    """Commit all of some shards, or none.

    :param lines: their rows, as :func:`~longshore.shared.ledger.copy_rows.result_lines` makes them.
    :returns: the shards of which this attempt is not the current one any more. Nothing is written if there are any:
        call again without them.
    :raises ValueError: one of them runs only its failed rows.
    """
    claims = [each.claim for each in finished]
    if any(claim.only_failed for claim in claims):
        raise ValueError("a shard that runs only its failed rows is committed alone")
    values = {
        "jobs": [claim.job_id for claim in claims],
        "shards": [claim.shard for claim in claims],
        "attempts": [claim.attempt for claim in claims],
        "rows": [each.rows for each in finished],
        "failed": [len(each.errors) for each in finished],
    }
    with database.transaction() as conn:
        conn.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, true)", [f"{PATIENCE}s"])
        current = set(conn.execute(_FINISH_SHARDS, values).fetchall())
        lost = {each.name for each in finished} - current
        if lost:
            raise Rollback
        _write(conn, finished, lines)
        with conn.pipeline():
            conn.execute(_COUNT_SHARDS, values)
            for each in finished:
                add_notes(conn, each.claim.job_id, each.notes)
            conn.execute(statements.attempts.SETTLE_JOBS, {"jobs": sorted({claim.job_id for claim in claims})})
    return lost


def _write(conn: Connection, finished: Sequence[Finished], lines: memoryview) -> None:
    if lines:
        with conn.cursor().copy(statements.attempts.COPY_RESULTS) as copy:
            copy.write(lines)
    if any(each.errors for each in finished):
        with conn.cursor().copy(statements.attempts.COPY_ROW_ERRORS) as copy:
            copy.set_types(["uuid", "int8", "text"])
            for each in finished:
                for row, error in each.errors.items():
                    copy.write_row((each.claim.job_id, row, error))
