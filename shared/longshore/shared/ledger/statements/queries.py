"""Reading jobs, their shards, results, errors and metrics."""

from __future__ import annotations

from typing import Final

from longshore.shared.ledger.statements.retention import ENDED

#: ``rows_running`` are the rows computed by attempts that have not committed yet.
_JOB_COLUMNS: Final = """
    jobs.id, jobs.kind, jobs.state, jobs.producer, jobs.queue, jobs.priority, jobs.spec, jobs.model, jobs.version,
    jobs.digest, jobs.rows_total, jobs.rows_done, jobs.rows_failed, jobs.shards_total, jobs.shards_done,
    jobs.shards_failed, jobs.outcome, jobs.error, jobs.created_at, jobs.started_at, jobs.finished_at, jobs.deadline,
    jobs.pruned_at,
    jobs.notes, jobs.rows_before_retry, (SELECT depends_on FROM job_dependencies WHERE job_id = jobs.id),
    CASE WHEN jobs.state = 'running' THEN coalesce(
        (SELECT sum(rows_done) FROM shards WHERE job_id = jobs.id AND state = 'running'), 0)::bigint
    ELSE 0 END AS rows_running,
    CASE WHEN jobs.state = 'running' THEN (
        SELECT waits_for FROM shards
        WHERE job_id = jobs.id AND state = 'queued' AND not_before IS NOT NULL AND waits_for IS NOT NULL
        ORDER BY not_before DESC LIMIT 1
    ) END AS waits_for,
    clock_timestamp() AS read_at
"""
READ_JOB: Final = f"SELECT {_JOB_COLUMNS} FROM jobs WHERE id = %(job)s"
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
    FROM shards WHERE job_id = %(job)s ORDER BY index
"""
READ_RESULTS: Final = "SELECT row, output::text FROM results WHERE job_id = %(job)s ORDER BY row"
COPY_OUT_RESULTS: Final = f"COPY ({READ_RESULTS}) TO STDOUT (FORMAT BINARY)"
LIST_ROW_ERRORS: Final = """
    SELECT row, error FROM row_errors WHERE job_id = %(job)s ORDER BY row LIMIT %(limit)s
"""
#: If two attempts have reported the same metric, that of the later one. An attempt removes the metrics beyond the point
#: where it starts.
LIST_METRICS: Final = """
    SELECT DISTINCT ON (step, name) step, name, value, recorded_at FROM metrics
    WHERE job_id = %(job)s ORDER BY step, name, attempt DESC
"""

# ``longshore demo`` shows these to people; ``{job}`` is replaced by the id of a job.
SAMPLE_ROWS_QUERY: Final = "SELECT row, output FROM results WHERE job_id = '{job}' ORDER BY row LIMIT 5"
#: Rows without a result count as wrong.
ACCURACY_QUERY: Final = """\
SELECT avg(coalesce((output->>'label' = truth.label)::int, 0))
FROM unnest(%(labels)s::text[]) WITH ORDINALITY AS truth (label, position)
LEFT JOIN results ON results.row = position - 1 AND results.job_id = '{job}'"""
