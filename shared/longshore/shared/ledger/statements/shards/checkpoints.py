"""Checkpoints of training jobs, and the metrics that a later attempt takes back."""

from __future__ import annotations

from typing import Final

NEWEST_CHECKPOINT: Final = """
    SELECT job_id, step, attempt, epoch, blob, size_bytes, created_at FROM checkpoints
    WHERE job_id = %(job)s ORDER BY step DESC LIMIT 1
"""
#: An attempt that starts from the beginning reaches the same steps again.
ADD_CHECKPOINT: Final = """
    INSERT INTO checkpoints (job_id, step, attempt, epoch, blob, size_bytes)
    VALUES (%(job)s, %(step)s, %(attempt)s, %(epoch)s, %(blob)s, %(size_bytes)s)
    ON CONFLICT (job_id, step) DO UPDATE
    SET attempt = excluded.attempt, epoch = excluded.epoch, blob = excluded.blob, size_bytes = excluded.size_bytes,
        created_at = now()
"""
#: All but the ``keep`` newest ones. Returns the blobs that nothing names any more.
PRUNE_CHECKPOINTS: Final = """
    DELETE FROM checkpoints
    WHERE job_id = %(job)s
      AND step NOT IN (SELECT step FROM checkpoints WHERE job_id = %(job)s ORDER BY step DESC LIMIT %(keep)s)
    RETURNING blob
"""
#: Metrics that an earlier attempt has reported from beyond the checkpoint where a later attempt starts.
REWIND_METRICS: Final = """
    DELETE FROM metrics
    WHERE job_id = %(job)s AND step > CASE WHEN name LIKE 'step/%%' THEN %(step)s ELSE %(epochs)s END
"""
