"""Every statement the ledger sends, by name.

Locks are always taken in this order, so that no two transactions wait for each other in a circle:
the shards of a job by index, then the job.

A job's state is announced on the channel ``longshore_jobs`` (payload: the job's id), shards that wait to be
published on ``longshore_tickets`` (no payload). Both reach listeners when the transaction commits.
"""

from __future__ import annotations

from typing import Final

JOBS_CHANNEL: Final = "longshore_jobs"
TICKETS_CHANNEL: Final = "longshore_tickets"

# -- submission ------------------------------------------------------------------------------------------------------

COPY_JOBS: Final = """
    COPY jobs (id, kind, state, producer, queue, priority, spec, model, version, digest, max_attempts, rows_per_shard,
               rows_total, shards_total, deadline, idempotency_key, request_digest)
    FROM STDIN (FORMAT BINARY)
"""
COPY_SHARDS: Final = """
    COPY shards (job_id, index, task, state, queue, priority, start, stop, "offset", length, attempt_limit,
                 published_at, message)
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

READ_INPUT: Final = "SELECT data, blob FROM inputs WHERE id = %(id)s"

# -- one attempt -----------------------------------------------------------------------------------------------------

#: The one place that knows which shards a message leads to. No row: the message is stale.
CLAIM: Final = """
    WITH free AS MATERIALIZED (
        SELECT shards.job_id, shards.index
        FROM shards JOIN unnest(%(jobs)b::uuid[], %(shards)b::int[]) AS name (job_id, index) USING (job_id, index)
        WHERE shards.state = 'queued'
        ORDER BY shards.job_id, shards.index FOR UPDATE OF shards
    ), claimed AS (
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
        RETURNING pg_notify('longshore_jobs', jobs.id::text)
    )
    SELECT claimed.job_id, claimed.index AS shard, claimed.attempt, claimed.attempt_limit, claimed.task,
           claimed.start, claimed.stop, claimed."offset", claimed.length, claimed.queue, claimed.priority,
           jobs.kind, jobs.spec, jobs.model, jobs.version, jobs.digest, jobs.rows_per_shard, jobs.max_attempts,
           jobs.producer
    FROM claimed JOIN jobs ON jobs.id = claimed.job_id
    LEFT JOIN (SELECT count(*) FROM started) AS notified ON true
    ORDER BY claimed.job_id, claimed.index
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

#: The fence: only the current attempt passes.
FINISH_SHARD: Final = """
    UPDATE shards SET state = 'succeeded', lease_until = NULL, rows_done = %(rows)s
    WHERE job_id = %(job)s AND index = %(shard)s AND attempt = %(attempt)s AND state = 'running'
    RETURNING 1
"""

COUNT_SHARD_DONE: Final = """
    UPDATE jobs
    SET shards_done = shards_done + 1, rows_done = rows_done + %(rows)s, rows_failed = rows_failed + %(failed)s,
        shards_total = shards_total + %(added)s, rows_total = coalesce(%(rows_total)s::bigint, rows_total),
        outcome = coalesce(%(outcome)s::jsonb, outcome)
    WHERE id = %(job)s
"""

#: Ends the jobs whose last shard has ended, and tells who waits for them. The caller holds the jobs.
SETTLE_JOBS: Final = """
    WITH settled AS (
        UPDATE jobs
        SET finished_at = now(),
            state = CASE WHEN shards_failed > 0 OR rows_failed > 0 THEN 'failed' ELSE 'succeeded' END,
            error = CASE
                WHEN shards_failed > 0 THEN error
                WHEN rows_failed > 0
                THEN format('%%s of %%s rows failed; the others have results', rows_failed, rows_total)
            END
        WHERE id = ANY(%(jobs)s) AND state IN ('queued', 'running') AND shards_done + shards_failed >= shards_total
    )
    SELECT count(pg_notify('longshore_jobs', id::text)) FROM unnest(%(jobs)s::uuid[]) AS changed (id)
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
    WHERE job_id = %(job)s AND state IN ('queued', 'running')
"""

END_JOB: Final = """
    UPDATE jobs SET state = %(state)s, error = %(error)s, finished_at = now()
    WHERE id = %(job)s AND state IN ('queued', 'running')
    RETURNING pg_notify('longshore_jobs', id::text)
"""

#: Everything that did not succeed runs again, with as many tries as at first.
RETRY_SHARDS: Final = """
    UPDATE shards
    SET state = 'queued', published_at = NULL, lease_until = NULL, rows_done = 0,
        attempt_limit = attempt + jobs.max_attempts
    FROM jobs
    WHERE shards.job_id = %(job)s AND shards.state IN ('failed', 'cancelled')
      AND jobs.id = shards.job_id AND jobs.state IN ('failed', 'cancelled')
    RETURNING shards.job_id, shards.index AS shard, shards.task, shards.queue, shards.priority, shards.start,
              shards.stop, jobs.model, jobs.version, shards.attempt
"""
RETRY_JOB: Final = """
    UPDATE jobs
    SET state = 'queued', error = NULL, finished_at = NULL, shards_failed = 0,
        deadline = now() + (deadline - created_at)
    WHERE id = %(job)s AND state IN ('failed', 'cancelled')
    RETURNING pg_notify('longshore_jobs', id::text)
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

# -- questions -------------------------------------------------------------------------------------------------------

_JOB_COLUMNS: Final = """
    jobs.id, jobs.kind, jobs.state, jobs.producer, jobs.queue, jobs.priority, jobs.spec, jobs.model, jobs.version,
    jobs.digest, jobs.rows_total, jobs.rows_done, jobs.rows_failed, jobs.shards_total, jobs.shards_done,
    jobs.shards_failed, jobs.outcome, jobs.error, jobs.created_at, jobs.started_at, jobs.finished_at, jobs.deadline
"""
READ_JOB: Final = f"""
    SELECT {_JOB_COLUMNS},
           coalesce((SELECT sum(rows_done) FROM shards WHERE job_id = jobs.id AND state = 'running'), 0)::bigint
               AS rows_running
    FROM jobs WHERE id = %(job)s
"""
LIST_JOBS: Final = f"""
    SELECT {_JOB_COLUMNS} FROM jobs
    WHERE (%(state)s::text IS NULL OR state = %(state)s) AND (%(kind)s::text IS NULL OR kind = %(kind)s)
    ORDER BY id DESC LIMIT %(limit)s
"""
#: States alone, of many jobs at once.
READ_STATES: Final = "SELECT id, state FROM jobs WHERE id = ANY(%(jobs)s)"
LIST_SHARDS: Final = """
    SELECT index, task, state, start, stop, attempt, attempt_limit, worker, rows_done, errors
    FROM shards WHERE job_id = %(job)s ORDER BY index
"""
COPY_OUT_RESULTS: Final = """
    COPY (SELECT row, output::text FROM results WHERE job_id = %(job)s ORDER BY row) TO STDOUT (FORMAT BINARY)
"""
LIST_ROW_ERRORS: Final = """
    SELECT row, error FROM row_errors WHERE job_id = %(job)s ORDER BY row LIMIT %(limit)s
"""
#: Those of the newest attempt: an earlier one may have left some behind.
LIST_METRICS: Final = """
    SELECT step, name, value FROM metrics
    WHERE job_id = %(job)s AND attempt = (SELECT max(attempt) FROM metrics WHERE job_id = %(job)s)
    ORDER BY step, name
"""

# -- models ----------------------------------------------------------------------------------------------------------

_POINTED: Final = """
    SELECT DISTINCT ON (model, alias) model, alias, version FROM model_aliases ORDER BY model, alias, id DESC
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
