"""Every statement the ledger sends, by name.

Locks are always taken in this order, so that no two transactions wait for each other in a circle:
the shards of a job by index, then the job.

A job's state is announced on the channel ``longshore_jobs`` (payload: the ids of jobs, joined by commas), shards that
wait to be published on ``longshore_tickets`` (no payload). Both reach listeners when the transaction commits.
"""

from __future__ import annotations

from typing import Final

JOBS_CHANNEL: Final = "longshore_jobs"
TICKETS_CHANNEL: Final = "longshore_tickets"
#: Postgres takes less than 8000 bytes in one notice.
IDS_PER_NOTICE: Final = 200

# -- submission ------------------------------------------------------------------------------------------------------

COPY_JOBS: Final = """
    COPY jobs (id, kind, state, producer, queue, priority, spec, model, version, digest, max_attempts, rows_per_shard,
               rows_total, shards_total, deadline, idempotency_key, request_digest)
    FROM STDIN (FORMAT BINARY)
"""
COPY_SHARDS: Final = """
    COPY shards (job_id, index, task, state, queue, priority, start, stop, "offset", length, attempt_limit,
                 published_at, message, company)
    FROM STDIN (FORMAT BINARY)
"""
COPY_INPUTS: Final = "COPY inputs (id, data, blob) FROM STDIN (FORMAT BINARY)"

READ_CLOCK: Final = "SELECT now()"

#: Jobs an idempotency key has made already.
FIND_KEYS: Final = """
    SELECT idempotency_key, id, request_digest FROM jobs
    WHERE producer = %(producer)s AND idempotency_key = ANY(%(keys)s)
"""

MARK_PUBLISHED: Final = """
    UPDATE shards SET published_at = now(), message = ticket.message
    FROM unnest(%(jobs)b::uuid[], %(shards)b::int[], %(messages)b::uuid[]) AS ticket (job_id, shard, message)
    WHERE shards.job_id = ticket.job_id AND shards.index = ticket.shard AND shards.state = 'queued'
"""

#: One small job: what the statements above do, in one round trip.
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
    INSERT INTO shards (job_id, index, task, state, queue, priority, start, stop, "offset", length, attempt_limit,
                        company)
    VALUES (%(id)s, 0, %(task)s, 'queued', %(queue)s, %(priority)s, %(start)s, %(stop)s, %(offset)s, %(length)s,
            %(max_attempts)s, %(company)s)
"""

READ_INPUTS: Final = "SELECT id, data, blob FROM inputs WHERE id = ANY(%(ids)b::uuid[])"

# -- one attempt -----------------------------------------------------------------------------------------------------

#: Shards of the companies in ``asked`` that wait. Those that somebody else holds are passed over, so that nobody waits.
_COMPANY: Final = """
    SELECT waiting.job_id, waiting.index, waiting.rows, waiting.priority
    FROM asked CROSS JOIN LATERAL (
        SELECT job_id, index, stop - start AS rows, shards.priority FROM shards
        WHERE state = 'queued' AND attempt = 0 AND shards.company = asked.company AND shards.queue = asked.queue
          AND shards.priority >= asked.priority
        ORDER BY shards.priority DESC, job_id, index LIMIT %(most_shards)s FOR UPDATE SKIP LOCKED
    ) AS waiting
"""
#: Starts the next attempt at the shards in ``free``. Of jobs that are taken many at a time only the end is announced:
#: it is a moment away.
_CLAIMED: Final = """
    claimed AS (
        UPDATE shards
        SET state = 'running', attempt = attempt + 1, worker = %(worker)s, rows_done = 0,
            lease_until = now() + make_interval(secs => %(lease)s)
        FROM free WHERE shards.job_id = free.job_id AND shards.index = free.index AND shards.state = 'queued'
        RETURNING shards.*
    ), waiting AS MATERIALIZED (
        SELECT id FROM jobs WHERE id IN (SELECT job_id FROM claimed) AND state = 'queued' ORDER BY id FOR UPDATE
    ), started AS (
        UPDATE jobs SET state = 'running', started_at = now()
        FROM waiting WHERE jobs.id = waiting.id AND jobs.state = 'queued'
        RETURNING CASE WHEN (SELECT count(*) FROM waiting) = 1 THEN pg_notify('longshore_jobs', jobs.id::text) END
    )
    SELECT claimed.job_id, claimed.index AS shard, claimed.attempt, claimed.attempt_limit, claimed.task,
           claimed.start, claimed.stop, claimed."offset", claimed.length, claimed.queue, claimed.priority,
           claimed.company, claimed.only_failed, claimed.part, jobs.kind, jobs.spec, jobs.model, jobs.version,
           jobs.digest, jobs.rows_per_shard, jobs.max_attempts, jobs.producer
    FROM claimed JOIN jobs ON jobs.id = claimed.job_id
    LEFT JOIN (SELECT count(*) FROM started) AS notified ON true
    ORDER BY claimed.job_id, claimed.index
"""

#: The one place that knows which shards a message leads to: those that it names, and others of their company that wait
#: and are as urgent, the most urgent and oldest first. Whether the named ones wait still does not matter to the others:
#: they may have been submitted while the message was on its way, and have none of their own. A shard that was tried
#: before brings nobody, for it may be what ended its worker. No row: the message is stale.
#: The named ones are looked up one by one (LIMIT), in one order for all: however many wait, only these are read.
CLAIM: Final = f"""
    WITH name AS MATERIALIZED (
        SELECT job_id, index FROM unnest(%(jobs)b::uuid[], %(shards)b::int[]) AS name (job_id, index)
        ORDER BY job_id, index
    ), named AS MATERIALIZED (
        SELECT waiting.job_id, waiting.index, waiting.attempt, waiting.rows
        FROM name CROSS JOIN LATERAL (
            SELECT job_id, index, attempt, stop - start AS rows FROM shards
            WHERE shards.job_id = name.job_id AND shards.index = name.index AND state = 'queued' LIMIT 1 FOR UPDATE
        ) AS waiting
    ), known AS MATERIALIZED (
        SELECT count(*) AS shards, coalesce(sum(rows), 0) AS rows, coalesce(max(attempt), 0) AS tries FROM named
    ), asked AS MATERIALIZED (
        SELECT shards.company, shards.queue, min(shards.priority) AS priority
        FROM shards JOIN name USING (job_id, index), known
        WHERE shards.company IS NOT NULL AND known.tries = 0 AND known.shards < %(most_shards)s
        GROUP BY shards.company, shards.queue
    ), company AS MATERIALIZED ({_COMPANY}), taken AS (
        SELECT job_id, index
        FROM (
            SELECT job_id, index, row_number() OVER urgency AS shards, sum(rows) OVER urgency AS rows
            FROM company WHERE (job_id, index) NOT IN (SELECT job_id, index FROM named)
            WINDOW urgency AS (ORDER BY priority DESC, job_id, index)
        ) AS others, known
        WHERE others.shards + known.shards <= %(most_shards)s AND others.rows + known.rows <= %(most_rows)s
    ), free AS (
        SELECT job_id, index FROM named UNION ALL SELECT job_id, index FROM taken
    ), {_CLAIMED}
"""

#: More of one company, for a worker that waits for them.
CLAIM_COMPANY: Final = f"""
    WITH asked AS MATERIALIZED (
        SELECT %(company)s::text AS company, %(queue)s::text AS queue, %(priority)s::int AS priority
    ), company AS MATERIALIZED ({_COMPANY}), free AS (
        SELECT job_id, index
        FROM (
            SELECT job_id, index, sum(rows) OVER (ORDER BY priority DESC, job_id, index) AS rows FROM company
        ) AS others
        WHERE rows <= %(most_rows)s
    ), {_CLAIMED}
"""

#: The next shard of a job, for a worker that has just computed one; what is more urgent goes first, as it does in the
#: queue. A shard that was tried before is left to its own ticket.
CLAIM_NEXT: Final = f"""
    WITH free AS MATERIALIZED (
        SELECT job_id, index FROM shards
        WHERE job_id = %(job)s AND state = 'queued' AND attempt = 0 AND task = 'infer' AND company IS NULL
          AND NOT EXISTS (
              SELECT FROM shards AS urgent
              WHERE urgent.state = 'queued' AND urgent.priority > %(priority)s AND urgent.queue IN ('cpu', %(queue)s)
          )
        ORDER BY index LIMIT 1 FOR UPDATE SKIP LOCKED
    ), {_CLAIMED}
"""

#: Ends what an earlier attempt at the shard still holds open: its half-written rows would make the new one wait.
END_EARLIER_ATTEMPTS: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
      AND starts_with(application_name, %(prefix)s)
"""

#: No row: a newer attempt has the shard, or the job was cancelled.
RENEW: Final = """
    UPDATE shards
    SET lease_until = now() + make_interval(secs => %(lease)s), rows_done = %(rows)s
    WHERE job_id = %(job)s AND index = %(shard)s AND attempt = %(attempt)s AND state = 'running'
    RETURNING 1
"""
STILL_CURRENT: Final = """
    SELECT 1 FROM shards WHERE job_id = %(job)s AND index = %(shard)s AND attempt = %(attempt)s AND state = 'running'
    FOR SHARE
"""

COPY_RESULTS: Final = "COPY results (job_id, row, output) FROM STDIN"
COPY_ROW_ERRORS: Final = "COPY row_errors (job_id, row, error) FROM STDIN (FORMAT BINARY)"
COPY_METRICS: Final = "COPY metrics (job_id, attempt, step, name, value) FROM STDIN (FORMAT BINARY)"

#: The rows of a shard that have errors, as its last attempt to succeed left them.
FAILED_ROWS: Final = """
    SELECT row FROM row_errors WHERE job_id = %(job)s AND row >= %(start)s AND row < %(stop)s ORDER BY row
"""
FORGET_ROW_ERRORS: Final = "DELETE FROM row_errors WHERE job_id = %(job)s AND row >= %(start)s AND row < %(stop)s"

#: The fence: only the current attempt passes. One that ran only the failed rows joins those that had results before.
#: The job is named, and not taken from the shard, so that Postgres locks no other partition than the job's.
FINISH_SHARD: Final = """
    UPDATE shards
    SET state = 'succeeded', lease_until = NULL, only_failed = false,
        rows_done = %(rows)s + CASE WHEN only_failed THEN stop - start - (
            SELECT count(*) FROM row_errors
            WHERE row_errors.job_id = %(job)s AND row >= shards.start AND row < shards.stop
        ) ELSE 0 END
    WHERE job_id = %(job)s AND index = %(shard)s AND attempt = %(attempt)s AND state = 'running'
    RETURNING 1
"""

#: The fence of an attempt that has written a file: from here on, every attempt at the shard only publishes that file.
DECIDE_PART: Final = """
    UPDATE shards SET part = %(part)s
    WHERE job_id = %(job)s AND index = %(shard)s AND attempt = %(attempt)s AND state = 'running' AND part IS NULL
    RETURNING 1
"""
#: The fence of an attempt that has published the file; whoever decided on it has written the errors of its rows.
FINISH_PART: Final = """
    WITH failed AS (
        SELECT count(*) AS rows FROM row_errors WHERE job_id = %(job)s AND row >= %(start)s AND row < %(stop)s
    )
    UPDATE shards SET state = 'succeeded', lease_until = NULL, rows_done = stop - start - failed.rows
    FROM failed
    WHERE job_id = %(job)s AND index = %(shard)s AND attempt = %(attempt)s AND state = 'running' AND part IS NOT NULL
    RETURNING rows_done, failed.rows
"""
ALL_SHARDS_DONE: Final = "SELECT shards_done >= shards_total FROM jobs WHERE id = %(job)s"

#: Those of a job, and new ones that are not among them.
_NOTED: Final = """
    notes || (
        SELECT coalesce(jsonb_agg(note ORDER BY place), '[]')
        FROM jsonb_array_elements(%(notes)s::jsonb) WITH ORDINALITY AS new (note, place) WHERE NOT notes @> note
    )
"""
ADD_NOTES: Final = f"UPDATE jobs SET notes = {_NOTED} WHERE id = %(job)s"

COUNT_SHARD_DONE: Final = f"""
    UPDATE jobs
    SET shards_done = shards_done + 1, rows_done = rows_done + %(rows)s, rows_failed = rows_failed + %(failed)s,
        shards_total = shards_total + %(added)s, rows_total = coalesce(%(rows_total)s::bigint, rows_total),
        outcome = coalesce(%(outcome)s::jsonb, outcome),
        notes = {_NOTED}
    WHERE id = %(job)s
"""

#: Rows of a job that may fail: a count, or where it is below 1 a fraction of all. A spec leaves out a default of 0.
_ALLOWED: Final = """
    floor(coalesce((spec->>'max_row_errors')::numeric, 0)
          * CASE WHEN (spec->>'max_row_errors')::numeric < 1 THEN rows_total ELSE 1 END)
"""
#: What is noted of a job whose failed rows were allowed; taken back when they are run again.
_ALLOWED_NOTE: Final = f"format('%%s of %%s rows failed, up to %%s were allowed', rows_failed, rows_total, {_ALLOWED})"

#: Ends the jobs whose last shard has ended, and tells who waits for them. The caller holds the jobs.
SETTLE_JOBS: Final = f"""
    WITH settled AS (
        UPDATE jobs
        SET finished_at = now(),
            state = CASE WHEN shards_failed > 0 OR rows_failed > {_ALLOWED} THEN 'failed' ELSE 'succeeded' END,
            error = CASE
                WHEN shards_failed > 0 THEN error
                WHEN rows_failed > {_ALLOWED}
                THEN format('%%s of %%s rows failed, %%s were allowed; the others have results',
                            rows_failed, rows_total,
                            CASE WHEN {_ALLOWED} > 0 THEN format('up to %%s', {_ALLOWED}) ELSE 'none' END)
            END,
            notes = CASE
                WHEN shards_failed = 0 AND rows_failed BETWEEN 1 AND {_ALLOWED}
                THEN notes || to_jsonb({_ALLOWED_NOTE}) ELSE notes
            END
        WHERE id = ANY(%(jobs)s) AND state IN ('queued', 'running') AND shards_done + shards_failed >= shards_total
    )
    SELECT count(pg_notify('longshore_jobs', ids))
    FROM (
        SELECT string_agg(id::text, ',') AS ids FROM unnest(%(jobs)s::uuid[]) WITH ORDINALITY AS changed (id, place)
        GROUP BY place / {IDS_PER_NOTICE}
    ) AS notices
"""

ADD_SHARDS: Final = """
    INSERT INTO shards (job_id, index, task, state, queue, priority, start, stop, "offset", length, attempt_limit)
    SELECT %(job)s, index, %(task)s, 'queued', %(queue)s, %(priority)s, start, stop, "offset", length, %(tries)s
    FROM unnest(%(indexes)s::int[], %(starts)s::bigint[], %(stops)s::bigint[], %(offsets)s::bigint[],
                %(lengths)s::bigint[]) AS new (index, start, stop, "offset", length)
"""

#: An attempt that failed: queued again while tries are left, else given up.
FAIL_SHARD: Final = """
    UPDATE shards
    SET state = CASE WHEN attempt < attempt_limit AND NOT %(permanent)s THEN 'queued' ELSE 'failed' END,
        lease_until = NULL, published_at = NULL, rows_done = 0,
        errors = errors || jsonb_build_object(
            'attempt', attempt, 'worker', worker, 'error', %(error)s::text, 'at', now())
    WHERE job_id = %(job)s AND index = %(shard)s AND attempt = %(attempt)s AND state = 'running'
    RETURNING state
"""

#: Handed back by a worker that stops: the try does not count.
RELEASE_SHARD: Final = """
    UPDATE shards
    SET state = 'queued', lease_until = NULL, published_at = NULL, rows_done = 0, attempt_limit = attempt_limit + 1
    WHERE job_id = %(job)s AND index = %(shard)s AND attempt = %(attempt)s AND state = 'running'
    RETURNING 1
"""

#: Named by a message that its worker did not get to.
GIVE_BACK: Final = """
    UPDATE shards SET published_at = NULL
    FROM unnest(%(jobs)b::uuid[], %(shards)b::int[]) AS name (job_id, shard)
    WHERE shards.job_id = name.job_id AND shards.index = name.shard AND shards.state = 'queued'
"""

COUNT_SHARD_FAILED: Final = """
    UPDATE jobs SET shards_failed = shards_failed + 1, error = coalesce(error, %(error)s) WHERE id = %(job)s
"""

NOTIFY_JOB: Final = "SELECT pg_notify('longshore_jobs', %(job)s::text)"
NOTIFY_TICKETS: Final = "SELECT pg_notify('longshore_tickets', '')"

# -- from outside ----------------------------------------------------------------------------------------------------

LOCK_SHARDS: Final = "SELECT 1 FROM shards WHERE job_id = %(job)s ORDER BY index FOR UPDATE"

#: Takes every shard that has not ended out of the queue, and the fence away from those that run.
CANCEL_SHARDS: Final = """
    UPDATE shards SET state = 'cancelled', lease_until = NULL
    WHERE job_id = %(job)s AND state IN ('waiting', 'queued', 'running')
"""

END_JOB: Final = """
    UPDATE jobs SET state = %(state)s, error = %(error)s, finished_at = now()
    WHERE id = %(job)s AND state IN ('waiting', 'queued', 'running')
    RETURNING pg_notify('longshore_jobs', id::text)
"""

#: Everything that did not succeed runs again, with as many tries as at first.
RETRY_SHARDS: Final = """
    UPDATE shards
    SET state = 'queued', published_at = NULL, lease_until = NULL, rows_done = 0,
        attempt_limit = attempt + jobs.max_attempts
    FROM jobs
    WHERE shards.job_id = %(job)s AND shards.state IN ('failed', 'cancelled')
      AND jobs.id = shards.job_id AND jobs.state IN ('failed', 'cancelled') AND jobs.pruned_at IS NULL
    RETURNING shards.job_id, shards.index AS shard, shards.task, shards.queue, shards.priority, shards.start,
              shards.stop, jobs.model, jobs.version, shards.attempt
"""
#: Also those that succeeded but for some rows, which alone run again: the others have their results. A shard that
#: failed while it ran only such rows goes on with these. Returns, after the tickets' columns, whether the shard had
#: succeeded, and how many rows of it have errors.
RETRY_FAILED_ROWS: Final = """
    WITH found AS MATERIALIZED (
        SELECT index, state = 'succeeded' AS done, (
                   SELECT count(*) FROM row_errors
                   WHERE row_errors.job_id = %(job)s AND row >= shards.start AND row < shards.stop
               ) AS failed
        FROM shards WHERE job_id = %(job)s AND state IN ('succeeded', 'failed', 'cancelled')
    )
    UPDATE shards
    SET state = 'queued', published_at = NULL, lease_until = NULL, rows_done = 0, company = NULL,
        only_failed = only_failed OR found.done, attempt_limit = attempt + jobs.max_attempts
    FROM found, jobs
    WHERE shards.job_id = %(job)s AND shards.index = found.index AND (found.failed > 0 OR NOT found.done)
      AND jobs.id = shards.job_id AND jobs.state IN ('succeeded', 'failed', 'cancelled')
      AND jobs.pruned_at IS NULL
    RETURNING shards.job_id, shards.index AS shard, shards.task, shards.queue, shards.priority, shards.start,
              shards.stop, jobs.model, jobs.version, shards.attempt, found.done, found.failed
"""
#: Whether rows of a job can be run again by themselves.
READ_OUTPUT: Final = "SELECT kind, spec->>'output' FROM jobs WHERE id = %(job)s"

#: ``shards`` and ``rows``: those that had succeeded or failed, and are undecided again.
RETRY_JOB: Final = f"""
    UPDATE jobs
    SET state = 'queued', error = NULL, finished_at = NULL, shards_failed = 0, notes = notes - {_ALLOWED_NOTE},
        shards_done = shards_done - %(shards)s, rows_failed = rows_failed - %(rows)s,
        rows_before = rows_done + rows_failed - %(rows)s,
        deadline = now() + coalesce(
            (SELECT make_interval(secs => links.timeout) FROM links WHERE links.job_id = jobs.id),
            deadline - created_at)
    WHERE id = %(job)s AND state IN ('succeeded', 'failed', 'cancelled') AND pruned_at IS NULL
    RETURNING pg_notify('longshore_jobs', id::text)
"""

# -- chains ----------------------------------------------------------------------------------------------------------

COPY_LINKS: Final = "COPY links (job_id, after, timeout) FROM STDIN (FORMAT BINARY)"
#: Links that wait for a job which has ended.
DUE_LINKS: Final = """
    SELECT links.job_id, links.after
    FROM jobs JOIN links ON links.job_id = jobs.id JOIN jobs AS prior ON prior.id = links.after
    WHERE jobs.state = 'waiting' AND prior.state IN ('succeeded', 'failed', 'cancelled')
    ORDER BY links.job_id LIMIT 100
"""
#: Nobody can retry it until the transaction ends.
READ_PRIOR: Final = """
    SELECT state, error, kind, version, digest, outcome,
           EXISTS (SELECT FROM links WHERE links.job_id = jobs.id AND links.broken) AS broken
    FROM jobs WHERE id = %(job)s FOR SHARE
"""
READY_JOB: Final = """
    UPDATE jobs
    SET state = 'queued', version = %(version)s, digest = %(digest)s,
        deadline = now() + (SELECT make_interval(secs => timeout) FROM links WHERE job_id = jobs.id)
    WHERE id = %(job)s AND state = 'waiting'
    RETURNING pg_notify('longshore_jobs', id::text)
"""
READY_SHARDS: Final = """
    UPDATE shards SET state = 'queued', published_at = NULL WHERE job_id = %(job)s AND state = 'waiting'
"""
READY_LINK: Final = "UPDATE links SET ready_at = now() WHERE job_id = %(job)s"
BREAK_LINK: Final = "UPDATE links SET broken = true WHERE job_id = %(job)s"
MEND_LINK: Final = "UPDATE links SET broken = false WHERE job_id = %(job)s"
#: The job before a link that was never ready.
UNREADY_LINK: Final = """
    SELECT links.after FROM links JOIN jobs ON jobs.id = links.job_id
    WHERE links.job_id = %(job)s AND links.ready_at IS NULL AND jobs.state IN ('failed', 'cancelled')
"""
WAIT_JOB: Final = """
    UPDATE jobs SET state = 'waiting', error = NULL, finished_at = NULL
    WHERE id = %(job)s AND state IN ('failed', 'cancelled')
    RETURNING pg_notify('longshore_jobs', id::text)
"""
WAIT_SHARDS: Final = "UPDATE shards SET state = 'waiting' WHERE job_id = %(job)s AND state = 'cancelled'"
#: The links that were ended because of a job, the next ones first.
BROKEN_LATER: Final = """
    WITH RECURSIVE later (job_id, place) AS (
        SELECT job_id, 1 FROM links WHERE after = %(job)s AND broken
        UNION ALL
        SELECT links.job_id, place + 1 FROM links JOIN later ON links.after = later.job_id WHERE links.broken
    )
    SELECT job_id FROM later ORDER BY place, job_id
"""
WHOLE_CHAIN: Final = """
    WITH RECURSIVE earlier (job_id, place) AS (
        SELECT %(job)s::uuid, 0
        UNION ALL
        SELECT links.after, place + 1 FROM links JOIN earlier ON links.job_id = earlier.job_id
    ), chain (job_id, place) AS (
        (SELECT job_id, 0 FROM earlier ORDER BY place DESC LIMIT 1)
        UNION ALL
        SELECT links.job_id, place + 1 FROM links JOIN chain ON links.after = chain.job_id
    )
    SELECT job_id FROM chain ORDER BY place, job_id
"""

# -- upkeep, by the relay --------------------------------------------------------------------------------------------

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

# -- partitions of results and row_errors ----------------------------------------------------------------------------

#: The table, the partition and its bounds as Postgres writes them.
LIST_PARTITIONS: Final = """
    SELECT parent.relname, part.relname, pg_get_expr(part.relpartbound, part.oid)
    FROM pg_inherits
    JOIN pg_class AS parent ON parent.oid = inhparent
    JOIN pg_class AS part ON part.oid = inhrelid
    WHERE inhparent IN (SELECT to_regclass(name) FROM unnest(%(tables)s::text[]) AS wanted (name))
"""
LIMIT_WAITING: Final = """
    SELECT set_config('lock_timeout', %(lock)s, true), set_config('statement_timeout', %(step)s, true)
"""
#: Names in braces are filled in as identifiers.
COUNT_IN_DEFAULT: Final = """
    SELECT count(*)
    FROM (SELECT FROM {default} WHERE job_id >= %(lower)s AND job_id < %(upper)s LIMIT %(limit)s) AS found
"""
MOVE_OUT_OF_DEFAULT: Final = """
    WITH moved AS (DELETE FROM {default} WHERE job_id >= %(lower)s AND job_id < %(upper)s RETURNING *)
    INSERT INTO {name} SELECT * FROM moved
"""
ATTACH_PARTITION: Final = "ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({lower}) TO ({upper})"

# -- pruning ---------------------------------------------------------------------------------------------------------

TAKE_TURN: Final = "SELECT pg_advisory_lock(%(key)s)"

_ENDED: Final = "state IN ('succeeded', 'failed', 'cancelled')"
#: Old enough, and in no week that is kept for a job that has not ended.
_PRUNABLE: Final = f"""
    jobs.id < %(cut)s AND jobs.pruned_at IS NULL AND jobs.{_ENDED}
    AND NOT EXISTS (
        SELECT FROM unnest(%(lowers)s::uuid[], %(uppers)s::uuid[]) AS kept (lower, upper)
        WHERE jobs.id >= kept.lower AND jobs.id < kept.upper
    )
"""
COUNT_PRUNABLE: Final = f"SELECT count(*) FROM jobs WHERE {_PRUNABLE}"
COUNT_UNFINISHED: Final = """
    SELECT count(*) FROM jobs WHERE id >= %(lower)s AND id < %(upper)s AND state IN ('waiting', 'queued', 'running')
"""
#: Waits for who retries one of them; the job counts as unfinished then.
MARK_WEEK_PRUNED: Final = f"""
    UPDATE jobs SET pruned_at = now()
    WHERE id >= %(lower)s AND id < %(upper)s AND pruned_at IS NULL AND {_ENDED}
"""
MARK_JOBS_PRUNED: Final = f"""
    WITH chosen AS MATERIALIZED (
        SELECT id FROM jobs WHERE {_PRUNABLE} ORDER BY id LIMIT %(batch)s FOR UPDATE SKIP LOCKED
    )
    UPDATE jobs SET pruned_at = now() FROM chosen WHERE jobs.id = chosen.id RETURNING jobs.id
"""
DELETE_WEEK: Final = """
    DELETE FROM {name} USING jobs
    WHERE job_id >= %(lower)s AND job_id < %(upper)s AND jobs.id = job_id AND jobs.pruned_at IS NOT NULL
"""
DELETE_JOBS: Final = "DELETE FROM {name} WHERE job_id = ANY(%(jobs)s)"

#: Blocks of inline rows, wherever a spec names them. A block is committed together with the jobs that use it.
_USED: Final = (
    "SELECT DISTINCT jsonb_path_query(spec, '$.**.block') #>> '{}' AS block FROM jobs WHERE pruned_at IS NULL"
)
_UNUSED: Final = "id < %(cut)s AND NOT EXISTS (SELECT FROM used WHERE used.block = inputs.id::text)"
FIND_UNUSED_INPUTS: Final = f"""
    WITH used AS MATERIALIZED ({_USED} AND NOT ({_PRUNABLE})) SELECT blob FROM inputs WHERE {_UNUSED}
"""
DELETE_UNUSED_INPUTS: Final = f"""
    WITH used AS MATERIALIZED ({_USED}) DELETE FROM inputs WHERE {_UNUSED} RETURNING blob
"""

#: Blobs that are named: blocks of inline rows, manifests, and every digest that a manifest holds; of trials, as long as
#: their job can still choose the best.
NAMED_BLOBS: Final = """
    SELECT blob FROM inputs WHERE blob IS NOT NULL
    UNION SELECT digest FROM model_versions
    UNION SELECT found[1] FROM model_versions, regexp_matches(manifest::text, 'sha256:[0-9a-f]{64}', 'g') AS found
    UNION SELECT blob FROM checkpoints
    UNION SELECT found[1] FROM trials JOIN jobs ON jobs.id = job_id,
        regexp_matches(trials.manifest::text || trials.digest, 'sha256:[0-9a-f]{64}', 'g') AS found
    WHERE jobs.state <> 'succeeded'
"""
#: The versions of jobs that can run again, even if they were deleted since.
DIGESTS_OF_JOBS: Final = """
    SELECT DISTINCT digest FROM jobs
    WHERE digest IS NOT NULL AND pruned_at IS NULL AND (state <> 'succeeded' OR rows_failed > 0)
"""

# -- questions -------------------------------------------------------------------------------------------------------

#: With the rows computed by attempts that have not committed yet.
_JOB_COLUMNS: Final = """
    jobs.id, jobs.kind, jobs.state, jobs.producer, jobs.queue, jobs.priority, jobs.spec, jobs.model, jobs.version,
    jobs.digest, jobs.rows_total, jobs.rows_done, jobs.rows_failed, jobs.shards_total, jobs.shards_done,
    jobs.shards_failed, jobs.outcome, jobs.error, jobs.created_at, jobs.started_at, jobs.finished_at, jobs.deadline,
    jobs.pruned_at,
    jobs.notes, jobs.rows_before, (SELECT after FROM links WHERE links.job_id = jobs.id) AS after,
    CASE WHEN jobs.state = 'running' THEN coalesce(
        (SELECT sum(rows_done) FROM shards WHERE job_id = jobs.id AND state = 'running'), 0)::bigint
    ELSE 0 END AS rows_running
"""
READ_JOB: Final = f"SELECT {_JOB_COLUMNS} FROM jobs WHERE id = %(job)s"
LIST_JOBS: Final = f"""
    SELECT {_JOB_COLUMNS} FROM jobs
    WHERE (%(state)s::text IS NULL OR state = %(state)s) AND (%(kind)s::text IS NULL OR kind = %(kind)s)
    ORDER BY id DESC LIMIT %(limit)s
"""
#: States alone, of many jobs at once.
READ_STATE: Final = "SELECT state FROM jobs WHERE id = %(job)s"
READ_NOT_ENDED: Final = f"SELECT id FROM jobs WHERE id = ANY(%(jobs)b::uuid[]) AND NOT {_ENDED}"
READ_PRUNED: Final = "SELECT pruned_at FROM jobs WHERE id = %(job)s"
LIST_SHARDS: Final = """
    SELECT index, task, state, start, stop, attempt, attempt_limit, worker, rows_done, only_failed, errors, part
    FROM shards WHERE job_id = %(job)s ORDER BY index
"""
READ_RESULTS: Final = "SELECT row, output::text FROM results WHERE job_id = %(job)s ORDER BY row"
COPY_OUT_RESULTS: Final = f"COPY ({READ_RESULTS}) TO STDOUT (FORMAT BINARY)"
LIST_ROW_ERRORS: Final = """
    SELECT row, error FROM row_errors WHERE job_id = %(job)s ORDER BY row LIMIT %(limit)s
"""
#: Of what two attempts have reported, the later one's. An attempt takes back what lies beyond where it begins.
LIST_METRICS: Final = """
    SELECT DISTINCT ON (step, name) step, name, value, recorded_at FROM metrics
    WHERE job_id = %(job)s ORDER BY step, name, attempt DESC
"""

# -- the installation ------------------------------------------------------------------------------------------------

COUNT_JOBS: Final = "SELECT state, count(*) FROM jobs GROUP BY state"
SERVER_VERSION: Final = "SHOW server_version"
SCHEMA_REVISION: Final = "SELECT version_num FROM alembic_version"
#: A lock on one 64-bit number is shown in two halves.
COUNT_LOCK_HOLDERS: Final = """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND classid = %(high)s::oid AND objid = %(low)s::oid
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

# -- models ----------------------------------------------------------------------------------------------------------

#: The newest move of each alias; one to no version has taken the alias away.
_POINTED: Final = """
    SELECT * FROM (
        SELECT DISTINCT ON (model, alias) model, alias, version FROM model_aliases ORDER BY model, alias, id DESC
    ) AS newest WHERE version IS NOT NULL
"""
RESOLVE_VERSION: Final = """
    SELECT model, version, digest, manifest, job_id, created_at FROM model_versions
    WHERE model = %(model)s AND version = %(version)s
"""
RESOLVE_ALIAS: Final = """
    SELECT v.model, v.version, v.digest, v.manifest, v.job_id, v.created_at FROM model_versions v
    JOIN (SELECT version FROM model_aliases WHERE model = %(model)s AND alias = %(alias)s ORDER BY id DESC LIMIT 1) a
      USING (version)
    WHERE v.model = %(model)s
"""
RESOLVE_NEWEST: Final = """
    SELECT model, version, digest, manifest, job_id, created_at FROM model_versions
    WHERE model = %(model)s ORDER BY version DESC LIMIT 1
"""
LIST_MODELS: Final = f"""
    SELECT m.name, m.created_at, count(v.version) AS versions, max(v.version) AS newest,
           coalesce((SELECT jsonb_object_agg(p.alias, p.version) FROM ({_POINTED}) p WHERE p.model = m.name), '{{}}')
               AS aliases
    FROM models m LEFT JOIN model_versions v ON v.model = m.name
    GROUP BY m.name ORDER BY m.name
"""
LIST_VERSIONS: Final = f"""
    SELECT v.model, v.version, v.digest, v.manifest, v.job_id, v.created_at,
           ARRAY(SELECT p.alias FROM ({_POINTED}) p WHERE p.model = v.model AND p.version = v.version) AS aliases
    FROM model_versions v WHERE v.model = %(model)s ORDER BY v.version
"""
ALIAS_HISTORY: Final = """
    SELECT alias, version, set_by, set_at FROM model_aliases WHERE model = %(model)s AND alias = %(alias)s ORDER BY id
"""
#: Gives out the next number; the row lock makes two commits of one model take turns.
TAKE_VERSION: Final = """
    INSERT INTO models (name, next_version) VALUES (%(model)s, 2)
    ON CONFLICT (name) DO UPDATE SET next_version = models.next_version + 1
    RETURNING next_version - 1
"""
ADD_VERSION: Final = """
    INSERT INTO model_versions (model, version, digest, manifest, job_id)
    VALUES (%(model)s, %(version)s, %(digest)s, %(manifest)s, %(job)s)
"""
MOVE_ALIAS: Final = """
    INSERT INTO model_aliases (model, alias, version, set_by) VALUES (%(model)s, %(alias)s, %(version)s, %(by)s)
"""
#: No row: the alias points at nothing. Two at once would both find it; both are in the history then.
REMOVE_ALIAS: Final = f"""
    INSERT INTO model_aliases (model, alias, version, set_by)
    SELECT model, alias, NULL, %(by)s FROM ({_POINTED}) AS pointed WHERE model = %(model)s AND alias = %(alias)s
    RETURNING 1
"""
#: Aliases of a model move one at a time, for what they point at can decide where they move.
LOCK_MODEL: Final = "SELECT 1 FROM models WHERE name = %(model)s FOR NO KEY UPDATE"
#: On given data, or on any.
NEWEST_EVALUATION: Final = """
    SELECT outcome->'metrics' AS metrics, spec->'data' AS data, spec->>'target' AS target FROM jobs
    WHERE kind = 'evaluate' AND model = %(model)s AND version = %(version)s AND state = 'succeeded'
      AND (%(target)s::text IS NULL OR (spec->>'target' = %(target)s AND spec->'data' = %(data)s::jsonb))
    ORDER BY finished_at DESC LIMIT 1
"""
LOCK_VERSION: Final = "SELECT 1 FROM model_versions WHERE model = %(model)s AND version = %(version)s FOR UPDATE"
ALIASES_OF_VERSION: Final = f"""
    SELECT p.alias FROM ({_POINTED}) p WHERE p.model = %(model)s AND p.version = %(version)s ORDER BY p.alias
"""
JOBS_OF_VERSION: Final = """
    SELECT count(*) FROM jobs WHERE model = %(model)s AND version = %(version)s AND state IN ('queued', 'running')
"""
DELETE_VERSION: Final = "DELETE FROM model_versions WHERE model = %(model)s AND version = %(version)s"

# -- workers ---------------------------------------------------------------------------------------------------------

SEE_WORKER: Final = """
    INSERT INTO workers (name, device, queue, host, pid, families)
    VALUES (%(name)s, %(device)s, %(queue)s, %(host)s, %(pid)s, %(families)s)
    ON CONFLICT (name) DO UPDATE
    SET device = excluded.device, queue = excluded.queue, host = excluded.host, seen_at = now(), pid = excluded.pid,
        families = excluded.families,
        started_at = CASE WHEN workers.pid = excluded.pid THEN workers.started_at ELSE now() END
"""
FORGET_WORKER: Final = "DELETE FROM workers WHERE name = %(name)s"
LIST_WORKERS: Final = """
    SELECT name, device, queue, host, pid, families, started_at, seen_at,
           seen_at > now() - make_interval(secs => %(silence)s) AS alive
    FROM workers ORDER BY name
"""
LIVE_QUEUES: Final = """
    SELECT DISTINCT queue FROM workers WHERE seen_at > now() - make_interval(secs => %(silence)s)
"""
KNOWN_FAMILIES: Final = "SELECT DISTINCT unnest(families) FROM workers"

# -- batch sizes -----------------------------------------------------------------------------------------------------

READ_BATCH_SIZES: Final = """
    SELECT length, rows, rate, settled FROM batch_sizes WHERE digest = %(digest)s AND device = %(device)s
"""
WRITE_BATCH_SIZE: Final = """
    INSERT INTO batch_sizes (digest, device, length, rows, rate, settled)
    VALUES (%(digest)s, %(device)s, %(length)s, %(rows)s, %(rate)s, %(settled)s)
    ON CONFLICT (digest, device, length) DO UPDATE
    SET rows = excluded.rows, rate = excluded.rate, settled = excluded.settled, measured_at = now()
"""
