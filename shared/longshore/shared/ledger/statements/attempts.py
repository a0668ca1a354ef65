"""One attempt at a shard: its claim, its lease, what it writes, and its end."""

from __future__ import annotations

from typing import Final

from longshore.shared.ledger.backoff import DUE, MISSING_GRACE_S, after_failure, after_outage
from longshore.shared.ledger.statements.chains import NOTIFY_DOWNSTREAM
from longshore.shared.ledger.statements.fence import FENCE
from longshore.shared.ledger.statements.sessions import IDS_PER_NOTICE, LIMIT_IDLING
from longshore.shared.ledger.statements.shards.speed import COMPUTING

#: Whether a shard may run beside others. One that was tried before may be what has ended its worker. Of those that
#: generate text it is known that an attempt has failed: the others were handed back, or run some rows again.
_HARMLESS: Final = f"(attempt = 0 OR (action = 'generate' AND shards.errors = '[]' AND {DUE}))"
#: Queued shards with the batch keys in ``batch``. Shards that another transaction has locked are skipped, so that no
#: claim waits for another.
SAME_BATCH_KEY: Final = f"""
    SELECT queued.job_id, queued.index, queued.rows, queued.priority
    FROM batch CROSS JOIN LATERAL (
        SELECT job_id, index, stop - start AS rows, shards.priority FROM shards
        WHERE state = 'queued' AND {_HARMLESS} AND shards.batch_key = batch.batch_key AND shards.queue = batch.queue
          AND shards.priority >= batch.priority
        ORDER BY shards.priority DESC, job_id, index LIMIT %(max_shards)s FOR UPDATE SKIP LOCKED
    ) AS queued
"""
#: Starts the next attempt at the shards in ``free``. The start of a job is announced only if it is claimed alone: jobs
#: that are claimed together end a moment later, and that is announced. Jobs are looked up one by one (LIMIT): Postgres
#: expects far more shards than a batch has, and would read all jobs for each batch of a long queue.
CLAIMED: Final = """
    claimed AS (
        UPDATE shards
        SET state = 'running', attempt = attempt + 1, worker = %(worker)s, rows_done = 0,
            leased_at = now(), lease_until = now() + make_interval(secs => %(lease)s)
        FROM free WHERE shards.job_id = free.job_id AND shards.index = free.index AND shards.state = 'queued'
        RETURNING shards.*
    ), claimed_jobs AS MATERIALIZED (
        SELECT DISTINCT job_id FROM claimed ORDER BY job_id
    ), queued_jobs AS MATERIALIZED (
        SELECT queued.id
        FROM claimed_jobs CROSS JOIN LATERAL (
            SELECT id FROM jobs WHERE jobs.id = claimed_jobs.job_id AND state = 'queued' LIMIT 1 FOR UPDATE
        ) AS queued
    ), started AS (
        UPDATE jobs SET state = 'running', started_at = now()
        WHERE id = ANY(ARRAY(SELECT id FROM queued_jobs)) AND jobs.state = 'queued'
        RETURNING CASE WHEN (SELECT count(*) FROM queued_jobs) = 1 THEN pg_notify('longshore_jobs', jobs.id::text) END
    )
    SELECT claimed.job_id, claimed.index AS shard, claimed.attempt, claimed.attempt_limit, claimed.action,
           claimed.start, claimed.stop, claimed."offset", claimed.length, claimed.queue, claimed.priority,
           claimed.batch_key, claimed.only_failed, claimed.output_file, claimed.errors <> '[]' AS failed_before,
           jobs.kind, jobs.spec, jobs.model, jobs.version, jobs.digest, jobs.rows_per_shard, jobs.max_attempts,
           jobs.producer
    FROM claimed CROSS JOIN LATERAL (SELECT * FROM jobs WHERE jobs.id = claimed.job_id LIMIT 1) AS jobs
    LEFT JOIN (SELECT count(*) FROM started) AS notified ON true
    ORDER BY claimed.job_id, claimed.index
"""

#: The one place that decides which shards a message leads to: the shards that it names, and other queued shards with
#: the same batch key and at least the same priority, the most urgent and oldest first. The others are claimed even if
#: the named ones are not queued any more: they may have been submitted while the message was on its way, and then have
#: no message of their own. A shard that was tried before is claimed alone, because it may have ended its worker. No
#: row: the message is stale. The named shards are looked up one by one (LIMIT) and always in the same order, so the
#: number of rows read does not depend on how many shards are queued.
CLAIM: Final = f"""
    WITH name AS MATERIALIZED (
        SELECT job_id, index FROM unnest(%(jobs)b::uuid[], %(shards)b::int[]) AS name (job_id, index)
        ORDER BY job_id, index
    ), named AS MATERIALIZED (
        SELECT queued.job_id, queued.index, queued.attempt, queued.rows
        FROM name CROSS JOIN LATERAL (
            SELECT job_id, index, attempt, stop - start AS rows FROM shards
            WHERE shards.job_id = name.job_id AND shards.index = name.index AND state = 'queued' LIMIT 1 FOR UPDATE
        ) AS queued
    ), total AS MATERIALIZED (
        SELECT count(*) AS shards, coalesce(sum(rows), 0) AS rows, coalesce(max(attempt), 0) AS attempts FROM named
    ), batch AS MATERIALIZED (
        SELECT shards.batch_key, shards.queue, min(shards.priority) AS priority
        FROM shards JOIN name USING (job_id, index), total
        WHERE shards.batch_key IS NOT NULL AND total.attempts = 0 AND total.shards < %(max_shards)s
        GROUP BY shards.batch_key, shards.queue
    ), batchable AS MATERIALIZED ({SAME_BATCH_KEY}), added AS (
        SELECT job_id, index
        FROM (
            SELECT job_id, index, row_number() OVER urgency AS shards, sum(rows) OVER urgency AS rows
            FROM batchable WHERE (job_id, index) NOT IN (SELECT job_id, index FROM named)
            WINDOW urgency AS (ORDER BY priority DESC, job_id, index)
        ) AS others, total
        WHERE others.shards + total.shards <= %(max_shards)s AND others.rows + total.rows <= %(max_rows)s
    ), free AS (
        SELECT job_id, index FROM named UNION ALL SELECT job_id, index FROM added
    ), {CLAIMED}
"""

#: The highest priority of a queued shard that a worker that serves ``queue`` can take. Each is looked up in the order
#: of its index (ORDER BY, LIMIT): Postgres would otherwise hope to meet an urgent shard soon, and read all that wait.
_MOST_URGENT: Final = f"""
    greatest((
        SELECT max(urgent.priority)
        FROM unnest(ARRAY['cpu', %(queue)s]) AS served (queue) CROSS JOIN LATERAL (
            SELECT priority FROM shards
            WHERE state = 'queued' AND published_at IS NOT NULL AND shards.queue = served.queue
            ORDER BY priority DESC LIMIT 1
        ) AS urgent
    ), (
        SELECT priority FROM shards
        WHERE state = 'queued' AND published_at IS NULL AND shards.queue = ANY(ARRAY['cpu', %(queue)s]) AND {DUE}
        ORDER BY priority DESC LIMIT 1
    ))
"""
#: The next shard of a job, for a worker that has just computed one. More urgent shards go first, as in the queue. A
#: shard that may do harm is left to its own ticket, and so are those before the present one: looking for them
#: would read every shard of the job that has ended.
CLAIM_NEXT: Final = f"""
    WITH free AS MATERIALIZED (
        SELECT job_id, index FROM shards
        WHERE job_id = %(job)s AND index > %(shard)s AND state = 'queued' AND {_HARMLESS}
          AND action IN ('infer', 'generate') AND batch_key IS NULL
          AND %(priority)s >= {_MOST_URGENT}
        ORDER BY index LIMIT 1 FOR UPDATE SKIP LOCKED
    ), {CLAIMED}
"""

#: No row: a newer attempt has the shard, or the job was cancelled. A claim that began before its job was cancelled and
#: queued again has seen it running, and left it ``queued``; that is made up for here, and when the shard ends.
#: The speed of a job counts from the end of the first batch on, ``first_age`` seconds ago.
RENEW: Final = f"""
    WITH renewed AS (
        UPDATE shards
        SET leased_at = now(), lease_until = now() + make_interval(secs => %(lease)s), rows_done = %(rows)s::bigint,
            rows_at = CASE WHEN %(rows)s::bigint > 0 THEN now() - make_interval(secs => %(age)s) END
        WHERE {FENCE}
        RETURNING 1
    ), computing AS (
        UPDATE jobs
        SET computing_since = greatest(now() - make_interval(secs => %(first_age)s), started_at),
            computing_rows = rows_done + rows_failed + %(first_rows)s::bigint + coalesce((
                SELECT sum(shards.rows_done) FROM shards
                WHERE job_id = %(job)s AND state = 'running' AND index <> %(shard)s
            ), 0)
        WHERE id = %(job)s AND state = 'running' AND %(first_rows)s::bigint > 0 AND NOT {COMPUTING}
          AND EXISTS (SELECT FROM renewed)
    ), started AS (
        UPDATE jobs SET state = 'running', started_at = now()
        WHERE id = %(job)s AND state = 'queued' AND EXISTS (SELECT FROM renewed)
        RETURNING pg_notify('longshore_jobs', jobs.id::text)
    )
    SELECT 1 FROM renewed LEFT JOIN (SELECT count(*) FROM started) AS notified ON true
"""

COPY_RESULTS: Final = "COPY results (job_id, row, output) FROM STDIN"
#: For jobs that keep columns of their input.
COPY_KEYED_RESULTS: Final = "COPY results (job_id, row, output, key) FROM STDIN"
COPY_ROW_ERRORS: Final = "COPY row_errors (job_id, row, error, key) FROM STDIN (FORMAT BINARY)"
COPY_METRICS: Final = "COPY metrics (job_id, attempt, step, name, value) FROM STDIN (FORMAT BINARY)"

#: The rows of a shard that had errors in its last attempt that succeeded.
FAILED_ROWS: Final = """
    SELECT row FROM row_errors WHERE job_id = %(job)s AND row >= %(start)s AND row < %(stop)s ORDER BY row
"""
FORGET_ROW_ERRORS: Final = "DELETE FROM row_errors WHERE job_id = %(job)s AND row >= %(start)s AND row < %(stop)s"

#: Passes the fence. If the attempt ran only failed rows, the rows that had results before count as well. They are
#: counted by the parameter ``job``, so that Postgres locks no partition of ``row_errors`` but that of the job.
FINISH_SHARD: Final = f"""
    UPDATE shards
    SET state = 'succeeded', lease_until = NULL, only_failed = false,
        rows_done = %(rows)s + CASE WHEN only_failed THEN stop - start - (
            SELECT count(*) FROM row_errors
            WHERE row_errors.job_id = %(job)s AND row >= shards.start AND row < shards.stop
        ) ELSE 0 END
    WHERE {FENCE}
    RETURNING 1, {LIMIT_IDLING}
"""

#: Passes the fence for an attempt that has written a file. From here on, attempts at the shard only publish that file.
DECIDE_OUTPUT_FILE: Final = f"""
    UPDATE shards SET output_file = %(output_file)s
    WHERE {FENCE} AND output_file IS NULL
    RETURNING 1, {LIMIT_IDLING}
"""
#: Passes the fence for an attempt that has published the file. The attempt that decided on it has written its errors.
FINISH_OUTPUT_FILE: Final = f"""
    WITH failed AS (
        SELECT count(*) AS rows FROM row_errors WHERE job_id = %(job)s AND row >= %(start)s AND row < %(stop)s
    )
    UPDATE shards SET state = 'succeeded', lease_until = NULL, rows_done = stop - start - failed.rows
    FROM failed
    WHERE {FENCE} AND output_file IS NOT NULL
    RETURNING rows_done, failed.rows
"""
ALL_SHARDS_DONE: Final = "SELECT shards_done >= shards_total FROM jobs WHERE id = %(job)s"

#: The notes of a job with the new ones that are not among them yet.
_NOTED: Final = """
    notes || (
        SELECT coalesce(jsonb_agg(note ORDER BY position), '[]')
        FROM jsonb_array_elements(%(notes)s::jsonb) WITH ORDINALITY AS new (note, position) WHERE NOT notes @> note
    )
"""
ADD_NOTES: Final = f"UPDATE jobs SET notes = {_NOTED} WHERE id = %(job)s"

COUNT_SHARD_DONE: Final = f"""
    UPDATE jobs
    SET shards_done = shards_done + 1, rows_done = rows_done + %(rows)s, rows_failed = rows_failed + %(failed)s,
        shards_total = shards_total + %(added)s, rows_total = coalesce(%(rows_total)s::bigint, rows_total),
        outcome = coalesce(%(outcome)s::jsonb, outcome), notes = {_NOTED},
        state = CASE state WHEN 'queued' THEN 'running' ELSE state END, started_at = coalesce(started_at, now()),
        computing_rows = CASE WHEN {COMPUTING} THEN computing_rows
            ELSE rows_done + rows_failed + %(rows)s::bigint + %(failed)s::bigint END,
        computing_since = CASE WHEN {COMPUTING} OR %(rows)s::bigint + %(failed)s::bigint = 0 THEN computing_since
            ELSE clock_timestamp() END,
        rows_at = clock_timestamp()
    WHERE id = %(job)s
"""
#: Before the next attempt at a shard that was tried before: the speed of its job counts from its first rows on.
RESTART_COMPUTING: Final = """
    UPDATE jobs SET computing_since = NULL WHERE id = %(job)s AND computing_since IS NOT NULL
"""

#: How many rows of a job may fail: a count, or a fraction of all rows if it is below 1. A spec omits the default 0.
_ALLOWED: Final = """
    floor(coalesce((spec->>'max_row_errors')::numeric, 0)
          * CASE WHEN (spec->>'max_row_errors')::numeric < 1 THEN rows_total ELSE 1 END)
"""
#: The note of a job whose failed rows were allowed. It is removed when they run again.
ALLOWED_NOTE: Final = f"format('%%s of %%s rows failed, up to %%s were allowed', rows_failed, rows_total, {_ALLOWED})"

#: Ends the jobs whose last shard has ended, and notifies those who wait for them, and the relay of jobs that come after
#: them. The caller has locked the jobs. The time is not that of ``now()``: an attempt computes in its transaction,
#: which is as old as its first result.
SETTLE_JOBS: Final = f"""
    WITH settled AS (
        UPDATE jobs
        SET finished_at = (SELECT clock_timestamp()),
            state = CASE WHEN shards_failed > 0 OR rows_failed > {_ALLOWED} THEN 'failed' ELSE 'succeeded' END,
            error = CASE
                WHEN shards_failed > 0 THEN error
                WHEN rows_failed > {_ALLOWED}
                THEN format('%%s of %%s rows failed, %%s were allowed%%s',
                            rows_failed, rows_total,
                            CASE WHEN {_ALLOWED} > 0 THEN format('up to %%s', {_ALLOWED}) ELSE 'none' END,
                            CASE WHEN rows_failed < rows_total THEN '; the others have results' ELSE '' END)
            END,
            notes = CASE
                WHEN shards_failed = 0 AND rows_failed BETWEEN 1 AND {_ALLOWED}
                THEN notes || to_jsonb({ALLOWED_NOTE}) ELSE notes
            END
        WHERE id = ANY(%(jobs)s) AND state IN ('queued', 'running') AND shards_done + shards_failed >= shards_total
        RETURNING {NOTIFY_DOWNSTREAM}
    )
    SELECT count(pg_notify('longshore_jobs', ids))
    FROM (
        SELECT string_agg(id::text, ',') AS ids FROM unnest(%(jobs)s::uuid[]) WITH ORDINALITY AS changed (id, position)
        GROUP BY position / {IDS_PER_NOTICE}
    ) AS notices
"""

ADD_SHARDS: Final = """
    INSERT INTO shards (job_id, index, action, state, queue, priority, start, stop, "offset", length, attempt_limit)
    SELECT %(job)s, index, %(action)s, 'queued', %(queue)s, %(priority)s, start, stop, "offset", length,
           %(max_attempts)s
    FROM unnest(%(indexes)s::int[], %(starts)s::bigint[], %(stops)s::bigint[], %(offsets)s::bigint[],
                %(lengths)s::bigint[]) AS new (index, start, stop, "offset", length)
"""


#: What an attempt that has failed leaves of its shard. ``permanent`` and ``error`` are expressions.
def _failed(*, permanent: str, error: str) -> str:
    return f"""
        state = CASE WHEN attempt < attempt_limit AND NOT {permanent} THEN 'queued' ELSE 'failed' END,
        lease_until = NULL, published_at = NULL, rows_done = 0,
        not_before = {after_failure("attempt")}, missing_since = NULL, waits_for = NULL,
        errors = errors || jsonb_build_object('attempt', attempt, 'worker', worker, 'error', {error}, 'at', now())
    """


#: Ends an attempt that has failed. The shard is queued again if it has attempts left, or else fails.
FAIL_SHARD: Final = f"""
    UPDATE shards SET {_failed(permanent="%(permanent)s", error="%(error)s::text")}
    WHERE {FENCE}
    RETURNING state
"""

#: Ends attempts whose lease has run out, those that ran out first. Locked shards are being committed at this moment, so
#: they are skipped. Returns, by job, how many ended, and how many of their shards have failed.
EXPIRE_LEASES: Final = f"""
    WITH expired AS MATERIALIZED (
        SELECT job_id, index FROM shards WHERE state = 'running' AND lease_until < now()
        ORDER BY lease_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ), ended AS (
        UPDATE shards SET {_failed(permanent="false", error="%(error)s::text")}
        FROM expired WHERE shards.job_id = expired.job_id AND shards.index = expired.index
        RETURNING shards.job_id, state
    )
    SELECT job_id, count(*), count(*) FILTER (WHERE state = 'failed') FROM ended GROUP BY job_id ORDER BY job_id
"""

#: Queues a shard again that a stopping worker hands back. The attempt does not count.
RELEASE_SHARD: Final = f"""
    UPDATE shards
    SET state = 'queued', lease_until = NULL, published_at = NULL, rows_done = 0, attempt_limit = attempt_limit + 1
    WHERE {FENCE}
    RETURNING 1
"""

#: Queues a shard again because of an outage, for a later time. The attempt does not count. No row: the attempt is not
#: current, or what is missing has been missing for so long that it counts as gone.
DEFER_SHARD: Final = f"""
    UPDATE shards
    SET state = 'queued', lease_until = NULL, published_at = NULL, rows_done = 0, attempt_limit = attempt_limit + 1,
        outages = outages + 1, waits_for = %(error)s,
        missing_since = CASE WHEN %(missing)s THEN least(missing_since, now()) END,
        not_before = {after_outage("outages")}
    WHERE {FENCE}
      AND NOT (%(missing)s AND missing_since IS NOT NULL
               AND missing_since <= now() - make_interval(secs => {MISSING_GRACE_S}))
    RETURNING 1
"""

#: Marks shards as unpublished whose message a worker has taken without claiming them.
GIVE_BACK: Final = """
    UPDATE shards SET published_at = NULL
    FROM unnest(%(jobs)b::uuid[], %(shards)b::int[]) AS name (job_id, shard)
    WHERE shards.job_id = name.job_id AND shards.index = name.shard AND shards.state = 'queued'
"""

#: Of several jobs: they are locked in the order of their ids.
COUNT_SHARDS_FAILED: Final = """
    WITH locked AS MATERIALIZED (
        SELECT id, failed FROM unnest(%(jobs)b::uuid[], %(failed)b::bigint[]) AS each (id, failed)
        JOIN jobs USING (id) ORDER BY id FOR UPDATE OF jobs
    )
    UPDATE jobs SET shards_failed = shards_failed + locked.failed, error = coalesce(error, %(error)s)
    FROM locked WHERE jobs.id = locked.id
"""

NOTIFY_JOB: Final = "SELECT pg_notify('longshore_jobs', %(job)s::text)"
NOTIFY_TICKETS: Final = "SELECT pg_notify('longshore_tickets', '')"
