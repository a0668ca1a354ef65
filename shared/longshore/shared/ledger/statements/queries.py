"""Reading jobs, their shards, results, errors and metrics, and what runs where."""

from __future__ import annotations

from typing import Final

from longshore.shared.ledger.statements.retention import ENDED
from longshore.shared.ledger.statements.shards.speed import REPORT_DELAY_S, SPAN

#: ``rows_running`` are the rows computed by attempts that have not committed yet.
_JOB_COLUMNS: Final = f"""
    jobs.id, jobs.kind, jobs.state, jobs.producer, jobs.queue, jobs.priority, jobs.spec, jobs.model, jobs.version,
    jobs.digest, jobs.rows_total, jobs.rows_done, jobs.rows_failed, jobs.shards_total, jobs.shards_done,
    jobs.shards_failed, coalesce(jobs.outcome, CASE WHEN jobs.expired AND jobs.kind = 'generate' THEN
        jsonb_build_object('expired', true, 'rows_not_run', rows_total - jobs.rows_done - rows_failed)
    END) AS outcome, jobs.error, jobs.created_at, jobs.started_at, jobs.finished_at, jobs.deadline,
    jobs.pruned_at,
    jobs.notes, jobs.rows_before_retry, jobs.usage, (SELECT depends_on FROM job_dependencies WHERE job_id = jobs.id),
    CASE WHEN jobs.state = 'running' THEN coalesce(
        (SELECT sum(rows_done) FROM shards WHERE job_id = jobs.id AND state = 'running'), 0)::bigint
    ELSE 0 END AS rows_running,
    CASE WHEN jobs.state = 'running' THEN (
        SELECT waits_for FROM shards
        WHERE job_id = jobs.id AND state = 'queued' AND not_before IS NOT NULL AND waits_for IS NOT NULL
        ORDER BY not_before DESC LIMIT 1
    ) END AS waits_for,
    {SPAN} AS progress_span,
    clock_timestamp() AS read_at
"""
READ_JOB: Final = f"SELECT {_JOB_COLUMNS} FROM jobs WHERE id = %(job)s"
READ_JOBS: Final = f"SELECT {_JOB_COLUMNS} FROM jobs WHERE id = ANY(%(jobs)b::uuid[]) ORDER BY id"
#: What a list of jobs is filtered by, besides states. A training job has the version that it has made.
_FILTERS: Final = """
    jobs.id >= %(first)s AND jobs.id < %(before)s
    AND (%(kinds)s::text[] IS NULL OR jobs.kind = ANY(%(kinds)s))
    AND (%(producer)s::text IS NULL OR jobs.producer = %(producer)s)
    AND (%(model)s::text IS NULL OR jobs.model = %(model)s)
    AND (%(version)s::int IS NULL OR coalesce(jobs.version, (jobs.outcome->>'version')::int) = %(version)s)
"""
LIST_JOBS: Final = f"SELECT {_JOB_COLUMNS} FROM jobs WHERE {_FILTERS} ORDER BY id DESC LIMIT %(limit)s"
#: State by state, so that each uses the index by state and id.
LIST_JOBS_IN_STATES: Final = f"""
    SELECT {_JOB_COLUMNS} FROM unnest(%(states)s::text[]) AS listed (state)
    CROSS JOIN LATERAL (
        SELECT id FROM jobs WHERE jobs.state = listed.state AND {_FILTERS} ORDER BY id DESC LIMIT %(limit)s
    ) AS newest
    JOIN jobs ON jobs.id = newest.id
    ORDER BY jobs.id DESC LIMIT %(limit)s
"""
#: Jobs with what their list shows of them, computed as :mod:`longshore.producers.reporting.progress` does.
_JOBS_WITH_PROGRESS: Final = f"""
    jobs
    CROSS JOIN LATERAL (
        SELECT jobs.rows_done + jobs.rows_failed + CASE WHEN jobs.state = 'running' THEN coalesce(
                   (SELECT sum(rows_done) FROM shards WHERE job_id = jobs.id AND state = 'running'), 0)
               ELSE 0 END AS done,
               CASE WHEN jobs.state <> 'queued' THEN
                   extract(epoch FROM coalesce(jobs.finished_at, now()) - jobs.started_at)
               END AS seconds
    ) AS progress
    CROSS JOIN LATERAL (SELECT {SPAN} AS span) AS spans
    CROSS JOIN LATERAL (
        SELECT span[3] AS waited,
               CASE WHEN jobs.kind = 'train' THEN span[2] / nullif(span[1], 0)
               WHEN span IS NOT NULL THEN greatest(span[2], {REPORT_DELAY_S}) END AS step
    ) AS steps
    CROSS JOIN LATERAL (
        SELECT CASE WHEN span IS NULL
               THEN nullif(greatest(done - jobs.rows_before_retry, 0), 0) / nullif(greatest(seconds, 0), 0)
               WHEN span[1] > 0 AND span[2] > 0 THEN span[1] / (span[2] + greatest(waited - step, 0))
               END AS rate, coalesce(least(waited, step), 0) AS since_step
    ) AS speed
"""
#: What jobs are sorted by: a number or a word, and NULL for the other. A training job has the version that it has made.
_SORT_KEYS: Final = """
    CASE %(sort)s
        WHEN 'done' THEN CASE WHEN jobs.state = 'succeeded' THEN 1
            ELSE least(coalesce(done / nullif(jobs.rows_total, 0)::numeric, 0), 1) END
        WHEN 'progress' THEN done
        WHEN 'left' THEN CASE WHEN jobs.state = 'running' AND rate > 0 THEN
            greatest(greatest(jobs.rows_total - done, 0) / rate - since_step, 0) END
        WHEN 'took' THEN CASE WHEN jobs.started_at IS NOT NULL THEN coalesce(seconds, 0) END
        WHEN 'failed' THEN jobs.rows_failed
        WHEN 'speed' THEN rate
        WHEN 'tokens' THEN CASE WHEN jobs.usage IS NOT NULL THEN
            rate * coalesce((jobs.usage->>'completion_tokens')::numeric, 0)
            / nullif(jobs.rows_done + jobs.rows_failed, 0) END
        WHEN 'priority' THEN jobs.priority
        WHEN 'shards' THEN jobs.shards_total
        WHEN 'submitted' THEN extract(epoch FROM jobs.created_at)
        WHEN 'age' THEN -extract(epoch FROM jobs.created_at)
        WHEN 'started' THEN extract(epoch FROM jobs.started_at)
        WHEN 'ended' THEN extract(epoch FROM jobs.finished_at)
    END * CASE WHEN %(descending)s THEN -1 ELSE 1 END AS number,
    CASE %(sort)s
        WHEN 'job' THEN jobs.id::text
        WHEN 'id' THEN jobs.id::text
        WHEN 'kind' THEN jobs.kind
        WHEN 'model' THEN jobs.model || ':' ||
            lpad(coalesce(jobs.version, (jobs.outcome->>'version')::int, 0)::text, 10, '0')
        WHEN 'state' THEN jobs.state
        WHEN 'producer' THEN jobs.producer
        WHEN 'queue' THEN jobs.queue
        WHEN 'extends' THEN jobs.spec->>'extends'
        WHEN 'error' THEN jobs.error
    END COLLATE "C" AS word
"""
#: All jobs that the filters choose, sorted; those without a value come last, and of equal ones the newest first. It
#: reads each of them, but keeps only as many as it returns. ``after`` is the last job of the page before. OFFSET 0 has
#: the keys computed once.
SORT_JOBS: Final = f"""
    WITH page_end AS MATERIALIZED (
        SELECT jobs.id, {_SORT_KEYS} FROM {_JOBS_WITH_PROGRESS} WHERE jobs.id = %(after)s::uuid
    )
    SELECT chosen.id
    FROM (
        SELECT jobs.id, {_SORT_KEYS} FROM {_JOBS_WITH_PROGRESS}
        WHERE {_FILTERS} AND (%(states)s::text[] = '{{}}' OR jobs.state = ANY(%(states)s))
        OFFSET 0
    ) AS chosen
    LEFT JOIN page_end ON true
    WHERE page_end.id IS NULL
       OR chosen.number > page_end.number
       OR CASE WHEN %(descending)s THEN chosen.word < page_end.word ELSE chosen.word > page_end.word END
       OR (chosen.number IS NULL AND page_end.number IS NOT NULL)
       OR (chosen.word IS NULL AND page_end.word IS NOT NULL)
       OR (chosen.number IS NOT DISTINCT FROM page_end.number
           AND chosen.word IS NOT DISTINCT FROM page_end.word AND chosen.id < page_end.id)
    ORDER BY chosen.number NULLS LAST,
             CASE WHEN %(descending)s THEN chosen.word END DESC NULLS LAST,
             CASE WHEN NOT %(descending)s THEN chosen.word END NULLS LAST,
             chosen.id DESC
    LIMIT %(limit)s
"""
FIND_JOBS: Final = f"""
    SELECT {_JOB_COLUMNS} FROM jobs WHERE id BETWEEN %(first)s AND %(last)s ORDER BY id DESC LIMIT %(limit)s
"""
NEWEST_OF_PRODUCER: Final = "SELECT id FROM jobs WHERE producer = %(producer)s ORDER BY id DESC LIMIT 1"
#: The ids just before and after each: what the start of an id must tell it from.
READ_NEIGHBOURS: Final = """
    SELECT jobs.id,
           (SELECT id FROM jobs AS other WHERE other.id < jobs.id ORDER BY other.id DESC LIMIT 1),
           (SELECT id FROM jobs AS other WHERE other.id > jobs.id ORDER BY other.id LIMIT 1)
    FROM jobs WHERE jobs.id = ANY(%(jobs)b::uuid[])
"""
READ_STATE: Final = "SELECT state FROM jobs WHERE id = %(job)s"
READ_NOT_ENDED: Final = f"SELECT id FROM jobs WHERE id = ANY(%(jobs)b::uuid[]) AND NOT {ENDED}"
READ_PRUNED: Final = "SELECT pruned_at FROM jobs WHERE id = %(job)s"
LIST_SHARDS: Final = """
    SELECT index, action, state, start, stop, attempt, attempt_limit, worker, rows_done, only_failed, errors,
           output_file, outages, waits_for, not_before
    FROM shards WHERE job_id = %(job)s AND index > %(after)s ORDER BY index LIMIT %(limit)s
"""
READ_RESULTS: Final = "SELECT row, output::text, key::text FROM results WHERE job_id = %(job)s ORDER BY row"
#: How jobs have ended, and the rows of all of them.
READ_ENDS: Final = f"""
    SELECT id, state, model, version, rows_total, rows_failed, pruned_at IS NOT NULL FROM jobs
    WHERE id = ANY(%(jobs)b::uuid[]) AND {ENDED}
"""
READ_RESULTS_OF_JOBS: Final = """
    SELECT job_id, row, output::text FROM results WHERE job_id = ANY(%(jobs)b::uuid[]) ORDER BY job_id, row
"""
LIST_ROW_ERRORS_OF_JOBS: Final = """
    SELECT job_id, row, error FROM row_errors WHERE job_id = ANY(%(jobs)b::uuid[]) ORDER BY job_id, row
"""
COPY_OUT_RESULTS: Final = f"COPY ({READ_RESULTS}) TO STDOUT (FORMAT BINARY)"
#: Rows until their texts are too long together, but at least one.
READ_RESULTS_PAGE: Final = """
    SELECT row, output, key
    FROM (
        SELECT row, output, key,
               sum(length(output) + coalesce(length(key), 0)) OVER (ORDER BY row)
                   - length(output) - coalesce(length(key), 0) AS before
        FROM (
            SELECT row, output::text, key::text FROM results
            WHERE job_id = %(job)s AND row > %(after)s ORDER BY row LIMIT %(limit)s
        ) AS next_rows
    ) AS sized
    WHERE before < %(max_bytes)s ORDER BY row
"""
LIST_ROW_ERRORS: Final = """
    SELECT row, error, key::text FROM row_errors WHERE job_id = %(job)s AND row > %(after)s
    ORDER BY row LIMIT %(limit)s
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
#: If two attempts have reported the same metric, that of the later one. An attempt removes the metrics beyond the point
#: where it starts.
LIST_METRICS: Final = """
    SELECT DISTINCT ON (step, name) step, name, value, recorded_at FROM metrics
    WHERE job_id = %(job)s ORDER BY step, name, attempt DESC
"""
#: The last epoch that a training has measured; metrics by step have a prefix.
READ_LAST_EPOCH: Final = """
    SELECT max(step) FROM metrics WHERE job_id = %(job)s AND NOT starts_with(name, 'step/')
"""

# What runs where, and what a job waits for. Each reads a bounded number of rows, however many shards are queued.

#: The workers and the jobs whose shards they run. The index of running shards is as small as there are devices.
LIST_RUNNING: Final = """
    SELECT worker, job_id, min(index) AS shard, count(*) AS shards, bool_and(lease_until < now()) AS expired
    FROM (
        SELECT worker, job_id, index, lease_until FROM shards
        WHERE state = 'running' AND worker IS NOT NULL ORDER BY lease_until DESC LIMIT %(limit)s
    ) AS running
    GROUP BY worker, job_id ORDER BY worker, job_id
"""

#: The first queued shard of a job, among some of its shards.
NEXT_SHARD: Final = """
    SELECT job_id, index, queue, priority, attempt, attempt_limit, published_at, not_before, waits_for, outages,
           now() AS read_at
    FROM (
        SELECT * FROM shards WHERE job_id = %(job)s AND index >= %(first)s ORDER BY index LIMIT %(limit)s
    ) AS some_shards
    WHERE state = 'queued' ORDER BY index LIMIT 1
"""

#: How many shards and jobs go before a queued shard: those that are more urgent, or as urgent and published or
#: submitted before it. Shards that were not published come after those that were. Each part stops at the limit before
#: it drops any row.
COUNT_AHEAD: Final = """
    SELECT count(*) AS shards, count(DISTINCT job_id) AS jobs, row_security_active('shards') AS only_own
    FROM ((
        SELECT job_id FROM shards
        WHERE state = 'queued' AND published_at IS NOT NULL AND queue = %(queue)s AND priority > %(priority)s
        LIMIT %(limit)s
    ) UNION ALL (
        SELECT job_id FROM shards
        WHERE state = 'queued' AND published_at IS NOT NULL AND queue = %(queue)s AND priority = %(priority)s
          AND published_at < coalesce(%(published_at)s::timestamptz, 'infinity')
        ORDER BY published_at LIMIT %(limit)s
    ) UNION ALL (
        SELECT job_id FROM (
            SELECT job_id FROM shards
            WHERE state = 'queued' AND published_at IS NOT NULL AND queue = %(queue)s AND priority = %(priority)s
              AND published_at = %(published_at)s
            LIMIT %(limit)s
        ) AS published_together WHERE job_id < %(job)s
    ) UNION ALL (
        SELECT job_id FROM (
            SELECT job_id, queue FROM shards
            WHERE state = 'queued' AND published_at IS NULL AND priority > %(priority)s
            ORDER BY priority DESC LIMIT %(limit)s
        ) AS urgent WHERE queue = %(queue)s
    ) UNION ALL (
        SELECT job_id FROM (
            SELECT job_id, queue FROM shards
            WHERE state = 'queued' AND published_at IS NULL AND priority = %(priority)s
              AND job_id < %(job)s AND %(published_at)s::timestamptz IS NULL
            ORDER BY job_id LIMIT %(limit)s
        ) AS earlier WHERE queue = %(queue)s
    )) AS ahead WHERE job_id <> %(job)s
"""

#: The newest failed attempts at the first shards of a job.
LIST_FAILURES: Final = """
    SELECT first.index AS shard, (failure->>'attempt')::int AS attempt, failure->>'worker' AS worker,
           failure->>'error' AS error, (failure->>'at')::timestamptz AS failed_at
    FROM (SELECT index, errors FROM shards WHERE job_id = %(job)s ORDER BY index LIMIT %(looked_at)s) AS first
    CROSS JOIN LATERAL jsonb_array_elements(first.errors) AS failure
    ORDER BY failed_at DESC NULLS LAST, shard, attempt DESC LIMIT %(limit)s
"""

#: How many jobs have not ended, by state, each counted up to a limit.
COUNT_OPEN_JOBS: Final = """
    SELECT open.state, (
        SELECT count(*) FROM (SELECT FROM jobs WHERE jobs.state = open.state LIMIT %(limit)s) AS counted
    )
    FROM unnest(ARRAY['running', 'queued', 'waiting']) AS open (state)
"""

#: The jobs with shards that workers take next: the most urgent and oldest first. Only the first shards of each queue
#: and priority are looked at; those of one job can be more than that.
LIST_NEXT: Final = """
    SELECT job_id FROM (
        SELECT first.job_id, priorities.priority, first.published_at
        FROM unnest(%(queues)s::text[]) AS queues (queue) CROSS JOIN generate_series(0, 9) AS priorities (priority)
        CROSS JOIN LATERAL (
            SELECT job_id, published_at FROM shards
            WHERE state = 'queued' AND shards.queue = queues.queue AND shards.priority = priorities.priority
              AND published_at IS NOT NULL
            ORDER BY published_at LIMIT %(looked_at)s
        ) AS first
        UNION ALL (
            SELECT job_id, priority, NULL FROM shards WHERE state = 'queued' AND published_at IS NULL
            ORDER BY priority DESC, job_id, index LIMIT %(looked_at)s
        )
    ) AS queued
    GROUP BY job_id ORDER BY max(priority) DESC, min(published_at), job_id LIMIT %(limit)s
"""

# ``longshore demo`` shows these to people; ``{job}`` is replaced by the id of a job.
SAMPLE_ROWS_QUERY: Final = "SELECT row, output FROM results WHERE job_id = '{job}' ORDER BY row LIMIT 5"
#: Rows without a result count as wrong.
ACCURACY_QUERY: Final = """\
SELECT avg(coalesce((output->>'label' = truth.label)::int, 0))
FROM unnest(%(labels)s::text[]) WITH ORDINALITY AS truth (label, position)
LEFT JOIN results ON results.row = position - 1 AND results.job_id = '{job}'"""
