"""Batches of requests in the format of OpenAI.

Only the gateway that holds the lease of a batch drives it: each of its changes is made only while the batch is in its
hands, and only from the state that it has seen.
"""

from __future__ import annotations

from typing import Final

_COLUMNS: Final = """
    id, state, endpoint, input_file_id, completion_window, output_expires_after, metadata, token_id, model_patterns,
    models, created_at, expires_at, in_progress_at, finalizing_at, completed_at, failed_at, expired_at, cancelling_at,
    cancelled_at, total, completed, failed, usage, errors, output_file_id, error_file_id, plan, jobs, job_errors,
    tries, cardinality(blobs) AS parts, now() AS read_at
"""
_HELD: Final = "id = %(id)s AND producer = %(producer)s AND leased_by = %(gateway)s"

#: A batch that is there already is returned as it is.
ADD_BATCH: Final = f"""
    WITH added AS (
        INSERT INTO batches (id, producer, endpoint, input_file_id, completion_window, output_expires_after, metadata,
                             token_id, model_patterns, expires_at)
        VALUES (%(id)s, %(producer)s, %(endpoint)s, %(input_file_id)s, %(completion_window)s, %(output_expires_after)s,
                %(metadata)s, %(token_id)s, %(model_patterns)s, now() + make_interval(secs => %(seconds)s))
        ON CONFLICT (id) DO NOTHING
        RETURNING *
    )
    SELECT {_COLUMNS} FROM added
    UNION ALL
    SELECT {_COLUMNS} FROM batches WHERE id = %(id)s AND producer = %(producer)s
"""
READ_BATCH: Final = f"SELECT {_COLUMNS} FROM batches WHERE id = %(id)s AND producer = %(producer)s"
#: ``after`` is the last batch of the page before.
LIST_BATCHES: Final = f"""
    SELECT {_COLUMNS} FROM batches
    WHERE producer = %(producer)s AND (created_at, id) < (%(after_time)s, %(after)s)
    ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""
CANCEL_BATCH: Final = """
    UPDATE batches SET state = 'cancelling', cancelling_at = now()
    WHERE id = %(id)s AND producer = %(producer)s AND state IN ('validating', 'in_progress')
    RETURNING id
"""

#: Batches of all producers that nobody drives.
TAKE_BATCHES: Final = "SELECT id, producer FROM longshore_take_batches(%(gateway)s, %(lease)s, %(limit)s)"
RENEW_LEASE: Final = f"""
    UPDATE batches SET lease_until = now() + make_interval(secs => %(lease)s) WHERE {_HELD} RETURNING id
"""
#: It is not taken again for some seconds.
RELEASE_BATCH: Final = f"""
    UPDATE batches
    SET leased_by = NULL, lease_until = now() + make_interval(secs => %(pause)s), tries = tries + %(failures)s
    WHERE {_HELD}
"""
#: While the transaction runs, nobody else takes, cancels or ends the batch.
LOCK_RUNNING: Final = f"""
    SELECT id FROM batches
    WHERE {_HELD} AND state = 'in_progress' AND jobs IS NULL AND expires_at > now() FOR SHARE
"""

#: The file was read. A batch that was cancelled meanwhile stays so.
SET_PLAN: Final = f"""
    UPDATE batches
    SET state = CASE state WHEN 'validating' THEN 'in_progress' ELSE state END,
        in_progress_at = CASE state WHEN 'validating' THEN now() ELSE in_progress_at END,
        plan = %(plan)s, blobs = %(blobs)s, models = %(models)s, total = %(total)s, failed = %(failed)s,
        tries = 0
    WHERE {_HELD} AND state IN ('validating', 'cancelling') AND plan IS NULL
    RETURNING {_COLUMNS}
"""
SET_JOBS: Final = f"""
    UPDATE batches SET jobs = %(jobs)s, job_errors = %(errors)s, tries = 0
    WHERE {_HELD} AND jobs IS NULL AND state IN ('in_progress', 'cancelling')
    RETURNING {_COLUMNS}
"""
BEGIN_FINALIZING: Final = f"""
    UPDATE batches SET state = 'finalizing', finalizing_at = now(), tries = 0
    WHERE {_HELD} AND state = 'in_progress'
    RETURNING {_COLUMNS}
"""
END_BATCH: Final = f"""
    UPDATE batches
    SET state = %(state)s,
        completed_at = CASE %(state)s WHEN 'completed' THEN now() END,
        failed_at = CASE %(state)s WHEN 'failed' THEN now() END,
        expired_at = CASE %(state)s WHEN 'expired' THEN now() END,
        cancelled_at = CASE %(state)s WHEN 'cancelled' THEN now() END,
        total = %(total)s, completed = %(completed)s, failed = %(failed)s, usage = %(usage)s, errors = %(errors)s,
        output_file_id = %(output_file_id)s, error_file_id = %(error_file_id)s,
        plan = NULL, blobs = '{{}}', leased_by = NULL, lease_until = NULL
    WHERE {_HELD} AND state = %(from_state)s
    RETURNING {_COLUMNS}
"""
#: The jobs that have ended because they were past their deadline.
READ_EXPIRED: Final = "SELECT id FROM jobs WHERE id = ANY(%(jobs)b::uuid[]) AND expired"
#: How far the jobs of batches are, of those that run.
COUNT_ROWS: Final = """
    SELECT batches.id, sum(jobs.rows_done)::bigint, sum(jobs.rows_failed)::bigint, sum(jobs.rows_total)::bigint
    FROM batches JOIN jobs ON jobs.id = ANY(batches.jobs)
    WHERE batches.id = ANY(%(ids)s) AND batches.producer = %(producer)s
    GROUP BY batches.id
"""
