"""Small shards that are claimed and committed together, and rows that are committed while their shards run.

Rows of jobs that generate text are committed so. They stay, whatever becomes of the attempt; the next attempt at the
shard runs the others.
"""

from __future__ import annotations

from typing import Final

from longshore.shared.ledger.statements.attempts import CLAIMED, SAME_BATCH_KEY
from longshore.shared.ledger.statements.chains import NOTIFY_DOWNSTREAM
from longshore.shared.ledger.statements.fence import FENCE
from longshore.shared.ledger.statements.shards.speed import COMPUTING

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
        finished_at = CASE WHEN {_CLEAN} THEN (SELECT clock_timestamp()) ELSE finished_at END,
        computing_rows = CASE WHEN shards_total = 1 OR {COMPUTING} THEN computing_rows
            ELSE rows_done + rows_failed + done.rows + done.failed END,
        computing_since = CASE WHEN shards_total = 1 OR {COMPUTING} THEN computing_since ELSE clock_timestamp() END,
        rows_at = CASE WHEN shards_total = 1 THEN rows_at ELSE clock_timestamp() END
    FROM (
        SELECT job_id, count(*) AS shards, sum(rows) AS rows, sum(failed) AS failed
        FROM unnest(%(jobs)b::uuid[], %(rows)b::bigint[], %(failed)b::bigint[]) AS each (job_id, rows, failed)
        GROUP BY job_id
    ) AS done JOIN locked ON locked.id = done.job_id
    WHERE jobs.id = done.job_id
    RETURNING CASE WHEN jobs.state = 'succeeded' THEN {NOTIFY_DOWNSTREAM} END
"""

#: Of some attempts, those that are current. None of these shards can change until the transaction ends.
LOCK_CURRENT: Final = """
    SELECT shards.job_id, shards.index
    FROM shards JOIN unnest(%(jobs)b::uuid[], %(shards)b::int[], %(attempts)b::int[])
        AS each (job_id, index, attempt) USING (job_id, index, attempt)
    WHERE shards.state = 'running'
    ORDER BY shards.job_id, shards.index FOR UPDATE OF shards
"""

#: Extends the leases of some attempts, and returns those that are current. Of a shard that runs, ``rows_done`` are rows
#: that are not committed yet: here there are none to speak of.
RENEW_MANY: Final = f"""
    WITH current AS MATERIALIZED ({LOCK_CURRENT}), renewed AS (
        UPDATE shards SET leased_at = now(), lease_until = now() + make_interval(secs => %(lease)s), rows_done = 0
        FROM current WHERE shards.job_id = current.job_id AND shards.index = current.index AND shards.state = 'running'
        RETURNING shards.job_id, shards.index
    ), queued AS MATERIALIZED (
        SELECT id FROM jobs WHERE id = ANY((SELECT array_agg(job_id) FROM renewed)::uuid[]) AND state = 'queued'
        ORDER BY id FOR UPDATE
    ), started AS (
        UPDATE jobs SET state = 'running', started_at = now() FROM queued WHERE jobs.id = queued.id
        RETURNING pg_notify('longshore_jobs', jobs.id::text)
    )
    SELECT job_id, index FROM renewed LEFT JOIN (SELECT count(*) FROM started) AS notified ON true
"""

#: The rows of a shard that have a result or an error, with whether it is an error.
DONE_ROWS: Final = """
    SELECT row, false AS failed FROM results WHERE job_id = %(job)s AND row >= %(start)s AND row < %(stop)s
    UNION ALL
    SELECT row, true FROM row_errors WHERE job_id = %(job)s AND row >= %(start)s AND row < %(stop)s
"""

#: Of shards whose rows are all committed. The caller has locked them.
FINISH_COMMITTED: Final = """
    UPDATE shards SET state = 'succeeded', lease_until = NULL, rows_done = done.rows
    FROM unnest(%(finished_jobs)b::uuid[], %(finished_shards)b::int[], %(finished_rows)b::bigint[])
        AS done (job_id, index, rows)
    WHERE shards.job_id = done.job_id AND shards.index = done.index AND shards.state = 'running'
"""

#: Counts rows and tokens. ``SETTLE_JOBS`` then ends the jobs whose last shard has ended. The speed of a job counts from
#: when its first row was given to the engine: rows end together, and it would be that of the last of them alone.
COUNT_ROWS: Final = f"""
    WITH locked AS MATERIALIZED (
        SELECT id FROM jobs WHERE id = ANY(%(jobs)b) ORDER BY id FOR UPDATE
    )
    UPDATE jobs
    SET rows_done = rows_done + part.rows, rows_failed = rows_failed + part.failed,
        shards_done = shards_done + part.finished,
        usage = jsonb_build_object(
            'prompt_tokens', coalesce((usage->>'prompt_tokens')::bigint, 0) + part.prompt_tokens,
            'completion_tokens', coalesce((usage->>'completion_tokens')::bigint, 0) + part.completion_tokens,
            'cached_tokens', coalesce((usage->>'cached_tokens')::bigint, 0) + part.cached_tokens
        ),
        state = CASE state WHEN 'queued' THEN 'running' ELSE state END, started_at = coalesce(started_at, now()),
        computing_rows = CASE WHEN {COMPUTING} THEN computing_rows ELSE rows_done + rows_failed END,
        computing_since = CASE WHEN {COMPUTING} THEN computing_since
            ELSE greatest(clock_timestamp() - make_interval(secs => part.seconds), started_at) END,
        rows_at = clock_timestamp()
    FROM (
        SELECT job_id, max(seconds) AS seconds, sum(rows)::bigint AS rows, sum(failed)::bigint AS failed,
               (count(*) FILTER (WHERE finished))::int AS finished, sum(prompt_tokens)::bigint AS prompt_tokens,
               sum(completion_tokens)::bigint AS completion_tokens, sum(cached_tokens)::bigint AS cached_tokens
        FROM unnest(%(jobs)b::uuid[], %(rows)b::bigint[], %(failed)b::bigint[], %(finished)b::bool[],
                    %(prompt_tokens)b::bigint[], %(completion_tokens)b::bigint[], %(cached_tokens)b::bigint[],
                    %(seconds)b::float8[])
            AS each (job_id, rows, failed, finished, prompt_tokens, completion_tokens, cached_tokens, seconds)
        GROUP BY job_id
    ) AS part JOIN locked ON locked.id = part.job_id
    WHERE jobs.id = part.job_id
"""

#: Before an attempt runs failed rows again: they count as rows that have not run. No row: it is not the current one.
FORGET_FAILED: Final = f"""
    WITH current AS (
        UPDATE shards SET only_failed = false WHERE {FENCE} RETURNING job_id, start, stop
    ), forgotten AS (
        DELETE FROM row_errors
        WHERE job_id = %(job)s AND row >= (SELECT start FROM current) AND row < (SELECT stop FROM current)
    )
    SELECT 1 FROM current
"""

#: Of each queue that a worker serves and each priority, the shard that was published first among those that wait.
FIRST_WAITING: Final = """
    SELECT served.queue, priorities.priority, first.job_id, first.batch_key
    FROM unnest(%(queues)s::text[]) AS served (queue) CROSS JOIN generate_series(0, 9) AS priorities (priority)
    CROSS JOIN LATERAL (
        SELECT job_id, batch_key FROM shards
        WHERE state = 'queued' AND shards.queue = served.queue AND shards.priority = priorities.priority
          AND published_at IS NOT NULL
        ORDER BY published_at LIMIT 1
    ) AS first
"""
