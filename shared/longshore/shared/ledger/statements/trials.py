"""Trials of a search and folds of a cross-validation."""

from __future__ import annotations

from typing import Final

#: One trial of a job begins at a time, so that each sees what the others try.
LOCK_TRIALS: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%(job)s::text, 0))"
LIST_TRIALS: Final = """
    SELECT number, state, worker, parameters, value, metrics, history, error, digest, started_at, finished_at
    FROM trials WHERE job_id = %(job)s ORDER BY number
"""
#: A later attempt begins the same trial anew.
BEGIN_TRIAL: Final = """
    INSERT INTO trials (job_id, number, state, worker, parameters)
    VALUES (%(job)s, %(shard)s, 'running', %(worker)s, %(parameters)s)
    ON CONFLICT (job_id, number) DO UPDATE
    SET state = 'running', worker = excluded.worker, value = NULL, metrics = '{}', history = '{}', error = NULL,
        manifest = NULL, digest = NULL, started_at = now(), finished_at = NULL
"""
REPORT_TRIAL: Final = """
    UPDATE trials SET history = history || jsonb_build_object(%(step)s::text, %(value)s::float8)
    WHERE job_id = %(job)s AND number = %(shard)s
"""
SETTLE_TRIAL: Final = """
    UPDATE trials
    SET state = %(state)s, value = %(value)s, metrics = %(metrics)s, error = %(error)s, digest = %(digest)s,
        manifest = %(manifest)s, finished_at = clock_timestamp()
    WHERE job_id = %(job)s AND number = %(shard)s
"""
READ_TRIAL_MANIFEST: Final = "SELECT manifest FROM trials WHERE job_id = %(job)s AND number = %(number)s"
#: Whether this shard is the last of the job to end. The lock makes the shards of a job end one after the other.
IS_LAST_TRIAL: Final = """
    SELECT shards_done + 1 >= shards_total AND shards_failed = 0 FROM jobs WHERE id = %(job)s FOR UPDATE
"""
