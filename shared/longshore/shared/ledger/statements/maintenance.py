"""What the relay does again and again."""

from __future__ import annotations

from typing import Final

from longshore.shared.ledger.statements.submission import TICKET_COLUMNS

PAST_DEADLINE: Final = """
    SELECT id FROM jobs WHERE deadline < now() AND state IN ('queued', 'running') ORDER BY id LIMIT 100
"""

#: Shards whose tickets were never published. A new job is left to its producer for a grace of some seconds.
UNPUBLISHED: Final = f"""
    SELECT {TICKET_COLUMNS}
    FROM shards JOIN jobs ON jobs.id = shards.job_id
    WHERE shards.state = 'queued' AND shards.published_at IS NULL
      AND (shards.attempt > 0 OR jobs.created_at < now() - make_interval(secs => %(grace)s))
    ORDER BY shards.priority DESC, shards.job_id, shards.index
    LIMIT %(limit)s
"""

#: By queue, the messages that were published before the grace and name a shard that nobody has claimed.
COUNT_WAITING: Final = """
    SELECT queue, count(DISTINCT message_id) FROM shards
    WHERE state = 'queued' AND published_at < now() - make_interval(secs => %(grace)s)
    GROUP BY queue
"""

#: The unclaimed shards of the messages that were published longest ago.
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
