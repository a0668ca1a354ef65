"""What the relay does again and again."""

from __future__ import annotations

from typing import Final

from longshore.shared.ledger.backoff import DUE
from longshore.shared.ledger.statements.submission import TICKET_COLUMNS

PAST_DEADLINE: Final = """
    SELECT id FROM jobs WHERE deadline < now() AND state IN ('queued', 'running') ORDER BY id LIMIT 100
"""

#: Shards whose tickets were never published. A new job is left to its producer for a grace of some seconds; one from
#: the future is not new, but the clock was set back.
UNPUBLISHED: Final = f"""
    SELECT {TICKET_COLUMNS}
    FROM shards JOIN jobs ON jobs.id = shards.job_id
    WHERE shards.state = 'queued' AND shards.published_at IS NULL AND {DUE}
      AND (shards.attempt > 0 OR not_before IS NOT NULL OR jobs.created_at < now() - make_interval(secs => %(grace)s)
           OR jobs.created_at > now() + make_interval(secs => %(grace)s))
    ORDER BY shards.priority DESC, shards.job_id, shards.index
    LIMIT %(limit)s
"""

#: Seconds until the next shard may run that waits for its time; NULL if none does.
NEXT_DUE: Final = """
    SELECT extract(epoch FROM min(not_before) - now())::float8 FROM shards
    WHERE state = 'queued' AND not_before IS NOT NULL AND not_before > now()
"""

#: The queues and priorities with shards that were published before the grace and that nobody has claimed. Each is
#: looked up by itself, in the order of the index (ORDER BY, LIMIT): Postgres would otherwise hope to meet one soon, and
#: read all shards of a queue that has none.
WAITING_QUEUES: Final = """
    SELECT queues.queue, priorities.priority
    FROM unnest(%(queues)s::text[]) AS queues (queue) CROSS JOIN generate_series(0, 9) AS priorities (priority)
    CROSS JOIN LATERAL (
        SELECT FROM shards
        WHERE state = 'queued' AND shards.queue = queues.queue AND shards.priority = priorities.priority
          AND published_at < now() - make_interval(secs => %(grace)s)
        ORDER BY published_at LIMIT 1
    ) AS waiting
"""

#: Of numbered names of shards, the numbers with which a queued shard is named. Each shard is looked up by itself.
STILL_QUEUED: Final = """
    SELECT DISTINCT number
    FROM unnest(%(numbers)b::int[], %(jobs)b::uuid[], %(shards)b::int[]) AS named (number, job_id, index)
    CROSS JOIN LATERAL (
        SELECT FROM shards
        WHERE shards.job_id = named.job_id AND shards.index = named.index AND state = 'queued' LIMIT 1
    ) AS queued
"""

#: Unclaimed shards of one queue and priority whose messages are not in Redis, those published longest ago first.
#:
#: ``messages`` are the messages that workers take next, with one shard of each. Redis gives out messages in the order
#: in which they were published. So all that was published before the first of them, less the grace, was taken or lost.
#: A message counts by the moment of its own publication only: ``message_id`` of a shard that was published again is
#: that of the later message. If no message counts, nothing is known, unless they are ``all`` that the queue has.
LOST: Final = f"""
    WITH next AS (
        SELECT shards.published_at - make_interval(secs => %(grace)s) AS moment
        FROM unnest(%(messages)b::uuid[], %(jobs)b::uuid[], %(shards)b::int[])
            WITH ORDINALITY AS peeked (message_id, job_id, index, position)
        CROSS JOIN LATERAL (
            SELECT published_at FROM shards
            WHERE shards.job_id = peeked.job_id AND shards.index = peeked.index
              AND shards.message_id = peeked.message_id AND published_at IS NOT NULL
            LIMIT 1
        ) AS shards
        ORDER BY position LIMIT 1
    )
    SELECT {TICKET_COLUMNS}
    FROM shards JOIN jobs ON jobs.id = shards.job_id
    WHERE shards.state = 'queued' AND shards.queue = %(queue)s AND shards.priority = %(priority)s
      AND shards.published_at < now() - make_interval(secs => %(grace)s)
      AND shards.published_at < CASE
          WHEN %(all)s THEN 'infinity' ELSE coalesce((SELECT moment FROM next), '-infinity') END
      AND shards.message_id <> ALL(%(messages)b::uuid[])
    ORDER BY shards.published_at LIMIT %(limit)s
"""

#: Of each queue, the shards that were published and that nobody has claimed, and the seconds since the first of them
#: was published. Each priority is counted up to a limit, so that a long queue costs no more than a short one.
QUEUE_DEPTHS: Final = """
    SELECT queues.queue, sum(waiting.shards)::bigint AS shards,
           coalesce(extract(epoch FROM now() - min(waiting.published_at)), 0)::float8 AS oldest_s
    FROM unnest(%(queues)s::text[]) AS queues (queue) CROSS JOIN generate_series(0, 9) AS priorities (priority)
    CROSS JOIN LATERAL (
        SELECT count(*) AS shards, min(published_at) AS published_at
        FROM (
            SELECT published_at FROM shards
            WHERE state = 'queued' AND shards.queue = queues.queue AND shards.priority = priorities.priority
              AND published_at IS NOT NULL
            ORDER BY published_at LIMIT %(limit)s
        ) AS first
    ) AS waiting
    GROUP BY queues.queue
"""

#: Shards that wait for their publication, up to a limit.
COUNT_UNPUBLISHED: Final = """
    SELECT queue, count(*) FROM (
        SELECT queue FROM shards WHERE state = 'queued' AND published_at IS NULL
        ORDER BY priority DESC, job_id, index LIMIT %(limit)s
    ) AS first
    GROUP BY queue
"""

#: Those of some jobs that have ended, with the seconds that they have waited and run; NULL if they never ran.
READ_ENDED: Final = """
    SELECT id, kind, state, finished_at, extract(epoch FROM started_at - created_at)::float8 AS waited_s,
           extract(epoch FROM finished_at - started_at)::float8 AS ran_s
    FROM jobs WHERE id = ANY(%(jobs)b::uuid[]) AND state IN ('succeeded', 'failed', 'cancelled')
"""

#: Of a job that is past its deadline, the kind, the rows, and those that it did not run. No row: it has ended.
EXPIRE_JOB: Final = """
    UPDATE jobs SET expired = true
    WHERE id = %(job)s AND state IN ('queued', 'running')
    RETURNING kind, rows_total, rows_total - rows_done - rows_failed
"""
