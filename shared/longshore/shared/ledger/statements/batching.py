"""Small shards that are claimed and committed together."""

from __future__ import annotations

from typing import Final

from longshore.shared.ledger.statements.attempts import CLAIMED, SAME_BATCH_KEY

#: More shards with one batch key, for a worker that waits for them.
CLAIM_BATCH: Final = f"""
    WITH batch AS MATERIALIZED (
        SELECT %(batch_key)s::text AS batch_key, %(queue)s::text AS queue, %(priority)s::int AS priority
    ), batchable AS MATERIALIZED ({SAME_BATCH_KEY}), free AS (
        SELECT job_id, index
        FROM (
            SELECT job_id, index, sum(rows) OVER (ORDER BY priority DESC, job_id, index) AS rows FROM batchable
        ) AS others
        WHERE rows <= %(max_rows)s
    ), {CLAIMED}
"""

#: Passes the fence for many shards at once, and returns those whose attempt is current. It is not the statement for one
#: shard, because that one also counts the rows of an attempt that ran only failed rows.
FINISH_SHARDS: Final = """
    WITH locked AS MATERIALIZED (
        SELECT shards.job_id, shards.index, done.rows, done.attempt
        FROM shards JOIN unnest(%(jobs)b::uuid[], %(shards)b::int[], %(attempts)b::int[], %(rows)b::bigint[])
            AS done (job_id, index, attempt, rows) USING (job_id, index, attempt)
        WHERE shards.state = 'running'
        ORDER BY shards.job_id, shards.index FOR UPDATE OF shards
    )
    UPDATE shards SET state = 'succeeded', lease_until = NULL, rows_done = locked.rows
    FROM locked
    WHERE shards.job_id = locked.job_id AND shards.index = locked.index AND shards.attempt = locked.attempt
      AND shards.state = 'running'
    RETURNING shards.job_id, shards.index
"""

#: Whether a job ends with these shards and nothing of it has failed. The row of such a job is written once.
_CLEAN: Final = """
    jobs.state IN ('queued', 'running') AND shards_done + done.shards >= shards_total
    AND shards_failed = 0 AND rows_failed + done.failed = 0
"""
#: All other jobs that end are left to ``SETTLE_JOBS``.
COUNT_SHARDS_DONE: Final = f"""
    WITH locked AS MATERIALIZED (
        SELECT id FROM jobs WHERE id = ANY(%(jobs)b) ORDER BY id FOR UPDATE
    )
    UPDATE jobs
    SET shards_done = shards_done + done.shards, rows_done = rows_done + done.rows,
        rows_failed = rows_failed + done.failed,
        started_at = coalesce(started_at, now()),
        state = CASE WHEN {_CLEAN} THEN 'succeeded' WHEN jobs.state = 'queued' THEN 'running' ELSE jobs.state END,
        finished_at = CASE WHEN {_CLEAN} THEN (SELECT clock_timestamp()) ELSE finished_at END
    FROM (
        SELECT job_id, count(*) AS shards, sum(rows) AS rows, sum(failed) AS failed
        FROM unnest(%(jobs)b::uuid[], %(rows)b::bigint[], %(failed)b::bigint[]) AS each (job_id, rows, failed)
        GROUP BY job_id
    ) AS done JOIN locked ON locked.id = done.job_id
    WHERE jobs.id = done.job_id
"""
