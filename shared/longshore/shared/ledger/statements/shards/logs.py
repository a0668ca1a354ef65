"""What attempts log: in parts, the middle of which is removed if there are too many."""

from __future__ import annotations

from typing import Final

_LOG: Final = "job_id = %(job)s AND shard = %(shard)s AND attempt = %(attempt)s"
#: Attempts are not fenced here: each writes to its own log only. Nothing is added to what was pruned.
ADD_LOG_PARTS: Final = """
    INSERT INTO attempt_logs (job_id, shard, attempt, start, text)
    SELECT jobs.id, %(shard)s, %(attempt)s, part.start, part.text
    FROM jobs CROSS JOIN unnest(%(starts)s::bigint[], %(texts)s::text[]) AS part (start, text)
    WHERE jobs.id = %(job)s AND jobs.pruned_at IS NULL
    ON CONFLICT DO NOTHING
"""
#: The middle of a log that has grown too long.
DELETE_LOG_PARTS: Final = f"DELETE FROM attempt_logs WHERE {_LOG} AND start >= %(first)s AND start < %(last)s"
#: For a process that does not know how long the log is.
ADD_LOG_END: Final = f"""
    INSERT INTO attempt_logs (job_id, shard, attempt, start, text)
    SELECT jobs.id, %(shard)s, %(attempt)s, log.stop, %(text)s
    FROM jobs CROSS JOIN (
        SELECT coalesce(max(start + char_length(text)), 0) AS stop FROM attempt_logs WHERE {_LOG}
    ) AS log
    WHERE jobs.id = %(job)s AND jobs.pruned_at IS NULL
    ON CONFLICT DO NOTHING
"""
LIST_LOG_PARTS: Final = """
    SELECT shard, attempt, start, text, written_at FROM attempt_logs
    WHERE job_id = %(job)s AND (shard, attempt, start) > (%(after_shard)s, %(after_attempt)s, %(after_start)s)
      AND (%(shard)s::int IS NULL OR shard = %(shard)s) AND (%(attempt)s::int IS NULL OR attempt = %(attempt)s)
      AND written_at > %(since)s::timestamptz
    ORDER BY shard, attempt, start LIMIT %(limit)s
"""
