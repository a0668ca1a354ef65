"""Rows that are committed while their shards run: those of jobs that generate text.

Committed rows stay, whatever becomes of the attempt. The next attempt at the shard runs the others.
"""

from __future__ import annotations

from typing import Final

from longshore.shared.ledger.statements.fence import FENCE

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
    WITH current AS MATERIALIZED ({LOCK_CURRENT})
    UPDATE shards SET lease_until = now() + make_interval(secs => %(lease)s), rows_done = 0
    FROM current WHERE shards.job_id = current.job_id AND shards.index = current.index AND shards.state = 'running'
    RETURNING shards.job_id, shards.index
"""

#: The rows of a shard that have a result or an error, with whether it is an error.
DONE_ROWS: Final = """
    SELECT row, false AS failed FROM results WHERE job_id = %(job)s AND row >= %(start)s AND row < %(stop)s
    UNION ALL
    SELECT row, true FROM row_errors WHERE job_id = %(job)s AND row >= %(start)s AND row < %(stop)s
"""

#: Of shards whose rows are all committed. The caller has locked them.
FINISH_SHARDS: Final = """
    UPDATE shards SET state = 'succeeded', lease_until = NULL, rows_done = done.rows
    FROM unnest(%(finished_jobs)b::uuid[], %(finished_shards)b::int[], %(finished_rows)b::bigint[])
        AS done (job_id, index, rows)
    WHERE shards.job_id = done.job_id AND shards.index = done.index AND shards.state = 'running'
"""

#: Counts rows and tokens. ``SETTLE_JOBS`` then ends the jobs whose last shard has ended.
COUNT_ROWS: Final = """
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
        state = CASE state WHEN 'queued' THEN 'running' ELSE state END, started_at = coalesce(started_at, now())
    FROM (
        SELECT job_id, sum(rows)::bigint AS rows, sum(failed)::bigint AS failed,
               (count(*) FILTER (WHERE finished))::int AS finished, sum(prompt_tokens)::bigint AS prompt_tokens,
               sum(completion_tokens)::bigint AS completion_tokens, sum(cached_tokens)::bigint AS cached_tokens
        FROM unnest(%(jobs)b::uuid[], %(rows)b::bigint[], %(failed)b::bigint[], %(finished)b::bool[],
                    %(prompt_tokens)b::bigint[], %(completion_tokens)b::bigint[], %(cached_tokens)b::bigint[])
            AS each (job_id, rows, failed, finished, prompt_tokens, completion_tokens, cached_tokens)
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

#: Of a job that is past its deadline, the kind, the rows, and those that it did not run. No row: it has ended.
EXPIRE_JOB: Final = """
    UPDATE jobs SET expired = true
    WHERE id = %(job)s AND state IN ('queued', 'running')
    RETURNING kind, rows_total, rows_total - rows_done - rows_failed
"""

#: The rows of a job that have neither a result nor an error: from ``start`` to before ``stop``, the first ranges. Rows
#: at the end are missing if it is not known how many there are.
ROWS_NOT_RUN: Final = """
    SELECT start, stop
    FROM (
        SELECT lag(row, 1, -1::bigint) OVER (ORDER BY row) + 1 AS start, row AS stop
        FROM (
            SELECT row FROM results WHERE job_id = %(job)s
            UNION ALL
            SELECT row FROM row_errors WHERE job_id = %(job)s
            UNION ALL
            SELECT rows_total FROM jobs WHERE id = %(job)s AND rows_total IS NOT NULL
        ) AS done
    ) AS gaps
    WHERE start < stop ORDER BY start LIMIT %(limit)s
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
