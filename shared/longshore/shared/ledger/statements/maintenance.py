"""What the relay looks after."""

from __future__ import annotations

from typing import Final

from longshore.shared.ledger.statements.submission import TICKET_COLUMNS

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
UNPUBLISHED: Final = f"""
    SELECT {TICKET_COLUMNS}
    FROM shards JOIN jobs ON jobs.id = shards.job_id
    WHERE shards.state = 'queued' AND shards.published_at IS NULL
      AND (shards.attempt > 0 OR jobs.created_at < now() - make_interval(secs => %(grace)s))
    ORDER BY shards.priority DESC, shards.job_id, shards.index
    LIMIT %(limit)s
"""

#: Messages published before the grace that still name a shard nobody has claimed, by queue.
COUNT_WAITING: Final = """
    SELECT queue, count(DISTINCT message_id) FROM shards
    WHERE state = 'queued' AND published_at < now() - make_interval(secs => %(grace)s)
    GROUP BY queue
"""

#: The shards of those messages that were published longest ago.
LONGEST_WAITING: Final = f"""
    WITH oldest AS (
        SELECT message_id FROM shards
        WHERE state = 'queued' AND queue = %(queue)s AND published_at < now() - make_interval(secs => %(grace)s)
        GROUP BY message_id ORDER BY min(published_at), message_id LIMIT %(messages)s
    )
    SELECT {TICKET_COLUMNS}
    FROM shards JOIN oldest ON oldest.message_id = shards.message_id JOIN jobs ON jobs.id = shards.job_id
    WHERE shards.state = 'queued'
    ORDER BY shards.priority DESC, shards.job_id, shards.index
"""
