"""Cancelling and retrying jobs."""

from __future__ import annotations

from typing import Final

from longshore.shared.ledger.statements.attempts import ALLOWED_NOTE
from longshore.shared.ledger.statements.chains import NOTIFY_DOWNSTREAM
from longshore.shared.ledger.statements.submission import TICKET_COLUMNS

#: One row, however many shards there are.
LOCK_SHARDS: Final = """
    SELECT count(*) FROM (SELECT FROM shards WHERE job_id = %(job)s ORDER BY index FOR UPDATE) AS locked
"""

#: Ends every shard that has not ended. Running attempts do not pass the fence any more.
CANCEL_SHARDS: Final = """
    UPDATE shards SET state = 'cancelled', lease_until = NULL
    WHERE job_id = %(job)s AND state IN ('waiting', 'queued', 'running')
"""

END_JOB: Final = f"""
    UPDATE jobs SET state = %(state)s, error = %(error)s, finished_at = clock_timestamp()
    WHERE id = %(job)s AND state IN ('waiting', 'queued', 'running')
    RETURNING pg_notify('longshore_jobs', id::text), {NOTIFY_DOWNSTREAM}
"""

#: Every shard that has not succeeded runs again, with as many attempts as at first.
RETRY_SHARDS: Final = f"""
    UPDATE shards
    SET state = 'queued', published_at = NULL, lease_until = NULL, rows_done = 0,
        not_before = NULL, missing_since = NULL, waits_for = NULL, attempt_limit = attempt + jobs.max_attempts
    FROM jobs
    WHERE shards.job_id = %(job)s AND shards.state IN ('failed', 'cancelled')
      AND jobs.id = shards.job_id AND jobs.state IN ('failed', 'cancelled') AND jobs.pruned_at IS NULL
    RETURNING {TICKET_COLUMNS}
"""
#: Shards with failed rows run again, too, but only these rows: the other rows have their results. A shard that failed
#: while it ran only such rows runs them again. Returns, after the columns of the ticket, whether the shard had
#: succeeded, and how many of its rows counted as failed until now.
RETRY_FAILED_ROWS: Final = f"""
    WITH ended AS MATERIALIZED (
        SELECT index, state = 'succeeded' AS done, only_failed AS runs_again, (
                   SELECT count(*) FROM row_errors
                   WHERE row_errors.job_id = %(job)s AND row >= shards.start AND row < shards.stop
               ) AS failed
        FROM shards WHERE job_id = %(job)s AND state IN ('succeeded', 'failed', 'cancelled')
    )
    UPDATE shards
    SET state = 'queued', published_at = NULL, lease_until = NULL, rows_done = 0, batch_key = NULL,
        not_before = NULL, missing_since = NULL, waits_for = NULL,
        only_failed = only_failed OR ended.failed > 0, attempt_limit = attempt + jobs.max_attempts
    FROM ended, jobs
    WHERE shards.job_id = %(job)s AND shards.index = ended.index AND (ended.failed > 0 OR NOT ended.done)
      AND jobs.id = shards.job_id AND jobs.state IN ('succeeded', 'failed', 'cancelled')
      AND jobs.pruned_at IS NULL
    RETURNING {TICKET_COLUMNS}, ended.done, CASE WHEN ended.runs_again THEN 0 ELSE ended.failed END
"""
#: For the check whether rows of a job can run again by themselves.
READ_OUTPUT: Final = "SELECT kind, spec->>'output' FROM jobs WHERE id = %(job)s"

#: ``shards`` and ``rows`` had succeeded or failed, and now run again.
RETRY_JOB: Final = f"""
    UPDATE jobs
    SET state = 'queued', error = NULL, finished_at = NULL, shards_failed = 0, notes = notes - {ALLOWED_NOTE},
        shards_done = shards_done - %(shards)s, rows_failed = rows_failed - %(rows)s,
        rows_before_retry = rows_done + rows_failed - %(rows)s,
        expired = false,
        deadline = now() + coalesce(
            (SELECT make_interval(secs => timeout) FROM job_dependencies WHERE job_dependencies.job_id = jobs.id),
            deadline - created_at)
    WHERE id = %(job)s AND state IN ('succeeded', 'failed', 'cancelled') AND pruned_at IS NULL
    RETURNING pg_notify('longshore_jobs', id::text)
"""
