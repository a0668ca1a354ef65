"""Jobs that wait for another."""

from __future__ import annotations

from typing import Final

COPY_LINKS: Final = "COPY links (job_id, after, timeout) FROM STDIN (FORMAT BINARY)"
#: Links that wait for a job which has ended.
DUE_LINKS: Final = """
    SELECT links.job_id, links.after
    FROM jobs JOIN links ON links.job_id = jobs.id JOIN jobs AS prior ON prior.id = links.after
    WHERE jobs.state = 'waiting' AND prior.state IN ('succeeded', 'failed', 'cancelled')
    ORDER BY links.job_id LIMIT 100
"""
#: Nobody can retry it until the transaction ends.
READ_PRIOR: Final = """
    SELECT state, error, kind, version, digest, outcome,
           EXISTS (SELECT FROM links WHERE links.job_id = jobs.id AND links.broken) AS broken
    FROM jobs WHERE id = %(job)s FOR SHARE
"""
READY_JOB: Final = """
    UPDATE jobs
    SET state = 'queued', version = %(version)s, digest = %(digest)s,
        deadline = now() + (SELECT make_interval(secs => timeout) FROM links WHERE job_id = jobs.id)
    WHERE id = %(job)s AND state = 'waiting'
    RETURNING pg_notify('longshore_jobs', id::text)
"""
READY_SHARDS: Final = """
    UPDATE shards SET state = 'queued', published_at = NULL WHERE job_id = %(job)s AND state = 'waiting'
"""
READY_LINK: Final = "UPDATE links SET ready_at = now() WHERE job_id = %(job)s"
BREAK_LINK: Final = "UPDATE links SET broken = true WHERE job_id = %(job)s"
MEND_LINK: Final = "UPDATE links SET broken = false WHERE job_id = %(job)s"
#: The job before a link that was never ready.
UNREADY_LINK: Final = """
    SELECT links.after FROM links JOIN jobs ON jobs.id = links.job_id
    WHERE links.job_id = %(job)s AND links.ready_at IS NULL AND jobs.state IN ('failed', 'cancelled')
"""
WAIT_JOB: Final = """
    UPDATE jobs SET state = 'waiting', error = NULL, finished_at = NULL
    WHERE id = %(job)s AND state IN ('failed', 'cancelled')
    RETURNING pg_notify('longshore_jobs', id::text)
"""
WAIT_SHARDS: Final = "UPDATE shards SET state = 'waiting' WHERE job_id = %(job)s AND state = 'cancelled'"
#: The links that were ended because of a job, the next ones first.
BROKEN_LATER: Final = """
    WITH RECURSIVE later (job_id, place) AS (
        SELECT job_id, 1 FROM links WHERE after = %(job)s AND broken
        UNION ALL
        SELECT links.job_id, place + 1 FROM links JOIN later ON links.after = later.job_id WHERE links.broken
    )
    SELECT job_id FROM later ORDER BY place, job_id
"""
WHOLE_CHAIN: Final = """
    WITH RECURSIVE earlier (job_id, place) AS (
        SELECT %(job)s::uuid, 0
        UNION ALL
        SELECT links.after, place + 1 FROM links JOIN earlier ON links.job_id = earlier.job_id
    ), chain (job_id, place) AS (
        (SELECT job_id, 0 FROM earlier ORDER BY place DESC LIMIT 1)
        UNION ALL
        SELECT links.job_id, place + 1 FROM links JOIN chain ON links.after = chain.job_id
    )
    SELECT job_id FROM chain ORDER BY place, job_id
"""
