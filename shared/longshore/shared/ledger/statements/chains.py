"""Jobs that depend on another job."""

from __future__ import annotations

from typing import Final

COPY_DEPENDENCIES: Final = "COPY job_dependencies (job_id, depends_on, timeout) FROM STDIN (FORMAT BINARY)"
INSERT_DEPENDENCIES: Final = """
    INSERT INTO job_dependencies (job_id, depends_on, timeout)
    SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::float8[])
"""
#: Of a job that ends: tells the relay if another job waits for it, or else that job would wait for the next round.
NOTIFY_DOWNSTREAM: Final = """
    CASE WHEN EXISTS (SELECT FROM job_dependencies WHERE depends_on = jobs.id)
    THEN pg_notify('longshore_tickets', '') END
"""
#: Waiting jobs whose upstream job has ended, with that job.
DUE_JOBS: Final = """
    SELECT dependency.job_id, dependency.depends_on
    FROM jobs
    JOIN job_dependencies AS dependency ON dependency.job_id = jobs.id
    JOIN jobs AS upstream ON upstream.id = dependency.depends_on
    WHERE jobs.state = 'waiting' AND upstream.state IN ('succeeded', 'failed', 'cancelled')
    ORDER BY dependency.job_id LIMIT 100
"""
#: The lock keeps others from retrying the upstream job until the transaction ends.
READ_UPSTREAM: Final = """
    SELECT state, error, kind, version, digest, outcome,
           EXISTS (SELECT FROM job_dependencies WHERE job_id = jobs.id AND upstream_failed) AS upstream_failed
    FROM jobs WHERE id = %(job)s FOR SHARE
"""
READY_JOB: Final = """
    UPDATE jobs
    SET state = 'queued', version = %(version)s, digest = %(digest)s,
        deadline = now() + (SELECT make_interval(secs => timeout) FROM job_dependencies WHERE job_id = jobs.id)
    WHERE id = %(job)s AND state = 'waiting'
    RETURNING pg_notify('longshore_jobs', id::text)
"""
#: They are due at once: no producer publishes them, so the grace for new jobs is not for them.
READY_SHARDS: Final = """
    UPDATE shards SET state = 'queued', published_at = NULL, not_before = now()
    WHERE job_id = %(job)s AND state = 'waiting'
"""
READY_DEPENDENCY: Final = "UPDATE job_dependencies SET ready_at = now() WHERE job_id = %(job)s"
SET_UPSTREAM_FAILED: Final = "UPDATE job_dependencies SET upstream_failed = %(failed)s WHERE job_id = %(job)s"
#: The upstream job of a job that has ended before it was ready.
READ_UNREADY: Final = """
    SELECT dependency.depends_on FROM job_dependencies AS dependency JOIN jobs ON jobs.id = dependency.job_id
    WHERE dependency.job_id = %(job)s AND dependency.ready_at IS NULL AND jobs.state IN ('failed', 'cancelled')
"""
WAIT_JOB: Final = """
    UPDATE jobs SET state = 'waiting', error = NULL, finished_at = NULL
    WHERE id = %(job)s AND state IN ('failed', 'cancelled')
    RETURNING pg_notify('longshore_jobs', id::text)
"""
WAIT_SHARDS: Final = "UPDATE shards SET state = 'waiting' WHERE job_id = %(job)s AND state = 'cancelled'"
#: Every job that ended because this one did, the nearest first.
LIST_DOWNSTREAM_FAILED: Final = """
    WITH RECURSIVE downstream (job_id, depth) AS (
        SELECT job_id, 1 FROM job_dependencies WHERE depends_on = %(job)s AND upstream_failed
        UNION ALL
        SELECT dependency.job_id, depth + 1
        FROM job_dependencies AS dependency JOIN downstream ON dependency.depends_on = downstream.job_id
        WHERE dependency.upstream_failed
    )
    SELECT job_id FROM downstream ORDER BY depth, job_id
"""
#: From any job of a chain up to the first one, and from there down to every job.
LIST_CHAIN: Final = """
    WITH RECURSIVE upstream (job_id, height) AS (
        SELECT %(job)s::uuid, 0
        UNION ALL
        SELECT dependency.depends_on, height + 1
        FROM job_dependencies AS dependency JOIN upstream ON dependency.job_id = upstream.job_id
    ), chain (job_id, depth) AS (
        (SELECT job_id, 0 FROM upstream ORDER BY height DESC LIMIT 1)
        UNION ALL
        SELECT dependency.job_id, depth + 1
        FROM job_dependencies AS dependency JOIN chain ON dependency.depends_on = chain.job_id
    )
    SELECT job_id FROM chain ORDER BY depth, job_id
"""
