"""How fast a job goes on that runs: parts of statements."""

from __future__ import annotations

from typing import Final

#: Whether it is known since when rows of the present run of a job are computed.
COMPUTING: Final = "(computing_since >= started_at) IS TRUE"
#: How much of a job that runs was done in how many seconds, and how many seconds ago the last of it. What comes before,
#: such as loading a model or reading data, is not in it. Of a training, epochs that its newest attempt has measured
#: after the first; of jobs that run rows, those since ``computing_since``, as soon as that is known.
SPAN: Final = f"""
    CASE WHEN jobs.kind = 'train' AND jobs.state = 'running' THEN (
        SELECT ARRAY[
            last.step - first.step,
            extract(epoch FROM last.recorded_at - first.recorded_at),
            extract(epoch FROM greatest(now() - last.recorded_at, interval '0'))
        ]::float8[]
        FROM (SELECT max(attempt) AS number FROM metrics WHERE job_id = jobs.id) AS newest
        CROSS JOIN LATERAL (
            SELECT step, recorded_at FROM metrics
            WHERE job_id = jobs.id AND attempt = newest.number AND NOT starts_with(name, 'step/')
            ORDER BY step LIMIT 1
        ) AS first
        CROSS JOIN LATERAL (
            SELECT step, recorded_at FROM metrics
            WHERE job_id = jobs.id AND attempt = newest.number AND NOT starts_with(name, 'step/')
              AND step <= (SELECT sum(rows_done)::bigint FROM shards WHERE job_id = jobs.id AND state = 'running')
            ORDER BY step DESC LIMIT 1
        ) AS last
        WHERE last.step > first.step AND last.recorded_at > first.recorded_at
    ) WHEN jobs.kind IN ('infer', 'generate', 'evaluate') AND jobs.state = 'running' AND {COMPUTING} THEN (
        SELECT ARRAY[
            greatest(jobs.rows_done + jobs.rows_failed + computed.rows - jobs.computing_rows, 0),
            extract(epoch FROM last.at - jobs.computing_since),
            extract(epoch FROM greatest(now() - last.at, interval '0'))
        ]::float8[]
        FROM (
            SELECT coalesce(sum(rows_done), 0) AS rows, max(rows_at) AS at FROM shards
            WHERE job_id = jobs.id AND state = 'running'
        ) AS computed
        CROSS JOIN LATERAL (SELECT greatest(computed.at, jobs.rows_at, jobs.computing_since) AS at) AS last
    ) END
"""
#: Seconds that rows may have been computed before a worker says so.
REPORT_DELAY_S: Final = 2.0
