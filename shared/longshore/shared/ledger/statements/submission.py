"""New jobs with their shards and inline rows."""

from __future__ import annotations

from typing import Final

#: In the order of the fields of :class:`~longshore.shared.ledger.records.Ticket`.
TICKET_COLUMNS: Final = """
    shards.job_id, shards.index AS shard, shards.action, shards.queue, shards.priority, shards.start, shards.stop,
    jobs.model, jobs.version, shards.attempt
"""

_NEW_JOBS: Final = """
    jobs (id, kind, state, producer, queue, priority, spec, model, version, digest, max_attempts, rows_per_shard,
          rows_total, shards_total, deadline, idempotency_key, request_digest)
"""
_NEW_SHARDS: Final = """
    shards (job_id, index, action, state, queue, priority, start, stop, "offset", length, attempt_limit, published_at,
            message_id, batch_key)
"""
COPY_JOBS: Final = f"COPY {_NEW_JOBS} FROM STDIN (FORMAT BINARY)"
COPY_SHARDS: Final = f"COPY {_NEW_SHARDS} FROM STDIN (FORMAT BINARY)"
# For logins under the policies of row-level security, which cannot copy into tables: a parameter is a column.
INSERT_JOBS: Final = f"""
    INSERT INTO {_NEW_JOBS}
    SELECT * FROM unnest(
        %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int2[], %s::jsonb[], %s::text[], %s::int4[],
        %s::text[], %s::int2[], %s::int8[], %s::int8[], %s::int4[], %s::timestamptz[], %s::text[], %s::text[])
"""
INSERT_SHARDS: Final = f"""
    INSERT INTO {_NEW_SHARDS}
    SELECT * FROM unnest(
        %s::uuid[], %s::int4[], %s::text[], %s::text[], %s::text[], %s::int2[], %s::int8[], %s::int8[], %s::int8[],
        %s::int8[], %s::int4[], %s::timestamptz[], %s::uuid[], %s::text[])
"""
COPY_INPUTS: Final = "COPY inputs (id, data, blob) FROM STDIN (FORMAT BINARY)"

READ_CLOCK: Final = "SELECT now()"

#: The jobs that were submitted with some idempotency keys.
FIND_KEYS: Final = """
    SELECT idempotency_key, id, request_digest FROM jobs
    WHERE producer = %(producer)s AND idempotency_key = ANY(%(keys)s)
"""

MARK_PUBLISHED: Final = """
    UPDATE shards SET published_at = now(), message_id = ticket.message_id
    FROM unnest(%(jobs)b::uuid[], %(shards)b::int[], %(messages)b::uuid[]) AS ticket (job_id, shard, message_id)
    WHERE shards.job_id = ticket.job_id AND shards.index = ticket.shard AND shards.state = 'queued'
"""

#: One small job in one round trip.
SUBMIT_ONE: Final = """
    WITH input AS (
        INSERT INTO inputs (id, data, blob)
        SELECT %(input)s, %(data)s, %(blob)s WHERE %(input)s::uuid IS NOT NULL
    ), job AS (
        INSERT INTO jobs (id, kind, state, producer, queue, priority, spec, model, version, digest, max_attempts,
                          rows_per_shard, rows_total, shards_total, deadline)
        VALUES (%(id)s, %(kind)s, 'queued', %(producer)s, %(queue)s, %(priority)s, %(spec)s, %(model)s, %(version)s,
                %(digest)s, %(max_attempts)s, %(rows_per_shard)s, %(rows_total)s, 1,
                now() + make_interval(secs => %(timeout)s))
    )
    INSERT INTO shards (job_id, index, action, state, queue, priority, start, stop, "offset", length, attempt_limit,
                        batch_key)
    VALUES (%(id)s, 0, %(action)s, 'queued', %(queue)s, %(priority)s, %(start)s, %(stop)s, %(offset)s, %(length)s,
            %(max_attempts)s, %(batch_key)s)
"""

READ_INPUTS: Final = "SELECT id, data, blob FROM inputs WHERE id = ANY(%(ids)b::uuid[])"
