"""What the relay looks after."""

from __future__ import annotations

from typing import Final

#: One shard whose worker has not been heard of. Locked ones are being committed this moment: they are passed over.
LOCK_EXPIRED: Final = """
    SELECT job_id, index, attempt FROM shards
    WHERE state = 'running' AND lease_until < now()
    ORDER BY lease_until LIMIT 1 FOR UPDATE SKIP LOCKED
"""

PAST_DEADLINE: Final = """
    SELECT id FROM jobs WHERE deadline < now() AND state IN ('queued', 'running') ORDER BY id LIMIT 100
"""

#: Shards whose tickets were never published, after a grace for the producer that is about to do it.
UNPUBLISHED: Final = """
    SELECT shards.job_id, shards.index AS shard, shards.task, shards.queue, shards.priority, shards.start, shards.stop,
           jobs.model, jobs.version, shards.attempt
    FROM shards JOIN jobs ON jobs.id = shards.job_id
    WHERE shards.state = 'queued' AND shards.published_at IS NULL
      AND (shards.attempt > 0 OR jobs.created_at < now() - make_interval(secs => %(grace)s))
    ORDER BY shards.priority DESC, shards.job_id, shards.index
    LIMIT %(limit)s
"""

#: Messages published before the grace that still name a shard nobody has claimed, by queue.
COUNT_WAITING: Final = """
    SELECT queue, count(DISTINCT message) FROM shards
    WHERE state = 'queued' AND published_at < now() - make_interval(secs => %(grace)s)
    GROUP BY queue
"""

#: The shards of those messages that were published longest ago.
LONGEST_WAITING: Final = """
    WITH oldest AS (
        SELECT message FROM shards
        WHERE state = 'queued' AND queue = %(queue)s AND published_at < now() - make_interval(secs => %(grace)s)
        GROUP BY message ORDER BY min(published_at), message LIMIT %(messages)s
    )
    SELECT shards.job_id, shards.index AS shard, shards.task, shards.queue, shards.priority, shards.start, shards.stop,
           jobs.model, jobs.version, shards.attempt
    FROM shards JOIN oldest ON oldest.message = shards.message JOIN jobs ON jobs.id = shards.job_id
    WHERE shards.state = 'queued'
    ORDER BY shards.priority DESC, shards.job_id, shards.index
"""

TRY_LEAD: Final = "SELECT pg_try_advisory_lock(%(key)s)"
