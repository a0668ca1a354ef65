"""A database in which nearly everything has ended, so that whoever reads a table from end to end reads far too much."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import psycopg

from longshore.shared.ledger.ledger import Ledger

#: Jobs that have succeeded, and shards of each.
ENDED_JOBS, SHARDS_PER_JOB = 20_000, 5
#: Jobs with results, and rows of each.
JOBS_WITH_RESULTS, ROWS_PER_JOB = 200, 100
#: Jobs in each state that is not final.
ACTIVE_JOBS = 20
BATCH_KEY = "0123456789abcdef" * 2

#: An id says of which sort its job is: ended (0), queued (1), queued with a batch key (2), running (3),
#: waiting for a running job (4), waiting for one that has ended (5).
_FILL = (
    """CREATE FUNCTION job_id(sort int, number int) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
        SELECT ('01a2' || lpad(to_hex(sort), 4, '0') || '-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid
    $$""",
    """INSERT INTO jobs (id, kind, state, producer, queue, priority, spec, model, version, digest, max_attempts,
                         rows_total, rows_done, shards_total, shards_done, outcome, idempotency_key, request_digest,
                         created_at, started_at, finished_at, deadline)
       SELECT job_id(0, n), CASE mod(n, 20) WHEN 0 THEN 'train' WHEN 1 THEN 'evaluate' ELSE 'infer' END, 'succeeded',
              CASE WHEN n BETWEEN 101 AND 200 THEN 'early' ELSE 'tests' END,
              'cpu', 4, '{"data": {"block": "b", "offset": 0, "rows": 1}, "target": "y"}',
              'model' || mod(n, 400), 1 + mod(n / 400, 8), 'sha256:' || md5(n::text), 3, 500, 500, %(shards)s,
              %(shards)s, '{"metrics": {"a": 1}}',
              'key' || n, 'request', now() - interval '2 hours', now() - interval '1 hour', now() - interval '1 hour',
              now() + interval '1 day'
       FROM generate_series(1, %(ended)s) AS n""",
    """INSERT INTO shards (job_id, index, action, state, queue, priority, start, stop, attempt, attempt_limit, worker,
                           published_at, message_id, batch_key, rows_done)
       SELECT jobs.id, index, jobs.kind, 'succeeded', 'cpu', 4, 100 * index, 100 * index + 100, 1, 3, 'cpu:0@host',
              now() - interval '1 hour', jobs.id, CASE WHEN mod(index, 2) = 0 THEN %(key)s END, 100
       FROM jobs, generate_series(0, %(shards)s - 1) AS index""",
    """INSERT INTO results (job_id, row, output)
       SELECT job_id(0, job), row, '{"label": "a", "score": 0.5}'
       FROM generate_series(1, %(jobs)s) AS job, generate_series(0, %(rows)s - 1) AS row""",
    """INSERT INTO row_errors (job_id, row, error)
       SELECT job_id(0, job), row, 'x is NaN'
       FROM generate_series(1, %(jobs)s) AS job, generate_series(0, %(rows)s - 1, 2) AS row""",
    """INSERT INTO metrics (job_id, attempt, step, name, value)
       SELECT job_id(0, 20 * job), 1, step, 'val_loss', 0.5
       FROM generate_series(1, %(jobs)s) AS job, generate_series(1, %(rows)s) AS step""",
    """INSERT INTO checkpoints (job_id, step, attempt, epoch, blob, size_bytes)
       SELECT job_id(0, 20 * job), step, 1, 1, 'sha256:' || md5(job::text || step), 1
       FROM generate_series(1, %(jobs)s) AS job, generate_series(1, 10) AS step""",
    """INSERT INTO attempt_logs (job_id, shard, attempt, start, text)
       SELECT job_id(0, 20 * job), shard, 1, 100 * part, repeat('x', 99) || chr(10)
       FROM generate_series(1, %(jobs)s) AS job, generate_series(0, 4) AS shard, generate_series(0, 4) AS part""",
    """INSERT INTO partial_texts (job_id, row, index, start, tokens)
       SELECT job_id(0, job), row, index, 10 * part, ARRAY[1, 2, 3]
       FROM generate_series(1, %(jobs)s) AS job, generate_series(0, %(rows)s - 1, 4) AS row,
            generate_series(0, 1) AS index, generate_series(0, 2) AS part""",
    """INSERT INTO trials (job_id, number, state, worker, parameters, value)
       SELECT job_id(0, job), number, 'complete', 'cpu:0@host', '{}', 0.5
       FROM generate_series(1, %(jobs)s) AS job, generate_series(0, 9) AS number""",
    """INSERT INTO inputs (id, data) SELECT job_id(0, n), 'rows' FROM generate_series(1, 5000) AS n""",
    """INSERT INTO job_dependencies (job_id, depends_on, ready_at)
       SELECT job_id(0, n), job_id(0, n - 1), now() FROM generate_series(2, 10000) AS n WHERE mod(n, 3) > 0""",
    """INSERT INTO models (name, next_version) SELECT 'model' || n, 9 FROM generate_series(0, 399) AS n""",
    """INSERT INTO model_versions (model, version, digest, manifest)
       SELECT 'model' || n, version, 'sha256:' || md5(n::text || version), '{"metrics": {"accuracy": 0.9}}'
       FROM generate_series(0, 399) AS n, generate_series(1, 8) AS version""",
    """INSERT INTO model_aliases (model, alias, version, set_by)
       SELECT 'model' || n, alias, mod(move, 8) + 1, 'tests'
       FROM generate_series(0, 399) AS n, unnest(ARRAY['production', 'candidate']) AS alias,
            generate_series(1, 10) AS move""",
    """INSERT INTO batch_sizes (digest, device, length, batch_size, rows_per_second, settled)
       SELECT 'sha256:' || md5(n::text), 'cpu', 0, 512, 1, true FROM generate_series(1, 5000) AS n""",
    """INSERT INTO files (id, producer, purpose, filename, bytes, digest, created_at, expires_at)
       SELECT 'file-' || n, 'producer' || mod(n, 100), 'batch', 'a', 1, 'sha256:' || md5(n::text),
              now() - n * interval '1 minute', now() + n * interval '1 minute'
       FROM generate_series(1, 10000) AS n""",
    """INSERT INTO uploads (id, producer, purpose, filename, bytes, expires_at)
       SELECT 'upload_' || n, 'producer' || mod(n, 100), 'batch', 'a', 1, now() + n * interval '1 minute'
       FROM generate_series(1, 10000) AS n""",
    """INSERT INTO upload_parts (id, upload_id, producer, bytes, digest, expires_at)
       SELECT 'part_' || n, 'upload_' || n, 'producer' || mod(n, 100), 1, 'sha256:' || md5(n::text),
              now() + n * interval '1 minute'
       FROM generate_series(1, 10000) AS n""",
    """INSERT INTO batches (id, producer, state, endpoint, input_file_id, completion_window, created_at, expires_at,
                            jobs)
       SELECT 'batch_' || n, 'producer' || mod(n, 100), CASE WHEN n < 20 THEN 'in_progress' ELSE 'completed' END,
              '/v1/embeddings', 'file-' || n, '24h', now() - n * interval '1 minute', now(), ARRAY[job_id(0, n)]
       FROM generate_series(1, 10000) AS n""",
    """INSERT INTO webhook_events (id, producer, type, data, created_at)
       SELECT 'evt_' || n, 'producer' || mod(n, 100), 'job.failed', '{}', now() - n * interval '1 minute'
       FROM generate_series(1, 20000) AS n""",
    """INSERT INTO webhook_endpoints (id, producer, url)
       SELECT 'we_' || n, 'producer' || n, 'https://example.com/' FROM generate_series(0, 99) AS n""",
    "INSERT INTO webhook_secrets (endpoint_id, secret) SELECT id, 'whsec_' FROM webhook_endpoints",
    """INSERT INTO webhook_deliveries (event_id, endpoint_id, state, next_try_at, created_at)
       SELECT 'evt_' || n, 'we_' || mod(n, 100), CASE WHEN n <= 100 THEN 'pending' ELSE 'delivered' END,
              CASE WHEN n <= 100 THEN now() END, now() - n * interval '1 minute'
       FROM generate_series(1, 20000) AS n""",
    """INSERT INTO jobs (id, kind, state, producer, queue, priority, spec, model, version, digest, max_attempts,
                         rows_total, shards_total, created_at, deadline)
       SELECT job_id(sort, n), 'infer', (ARRAY['queued', 'queued', 'running', 'waiting', 'waiting'])[sort], 'tests',
              'cpu', 4, '{"data": {"block": "b", "offset": 0, "rows": 1}}', 'model1', 1, 'sha256:1', 3, 2, 2,
              now() - interval '1 hour', CASE WHEN n = 1 THEN now() - interval '1 minute' END
       FROM generate_series(1, 5) AS sort, generate_series(1, %(active)s) AS n""",
    """INSERT INTO shards (job_id, index, action, state, queue, priority, start, stop, attempt, attempt_limit, worker,
                           lease_until, published_at, message_id, batch_key)
       SELECT jobs.id, index, 'infer', jobs.state, 'cpu', 4, index, index + 1, (jobs.state = 'running')::int, 3,
              CASE WHEN jobs.state = 'running' THEN 'cpu:0@host' END,
              CASE WHEN jobs.state = 'running' THEN now() - interval '1 second' END,
              CASE WHEN index = 0 AND jobs.state <> 'waiting' THEN now() - interval '1 hour' END,
              CASE WHEN index = 0 AND jobs.state <> 'waiting' THEN jobs.id END,
              CASE WHEN jobs.id >= job_id(2, 0) AND jobs.id < job_id(3, 0) THEN %(key)s END
       FROM jobs, generate_series(0, 1) AS index WHERE jobs.state IN ('queued', 'running', 'waiting')""",
    """INSERT INTO job_dependencies (job_id, depends_on)
       SELECT job_id(sort, n), CASE sort WHEN 4 THEN job_id(3, n) ELSE job_id(0, n) END
       FROM generate_series(4, 5) AS sort, generate_series(1, %(active)s) AS n""",
)


@dataclass(frozen=True)
class Ids:
    """One job of each sort; its shards are 0 and 1, or 0 to 4 of one that has ended."""

    ended: UUID
    ended_training: UUID
    queued: UUID
    small: UUID
    running: UUID
    waiting: UUID


def id_of(sort: int, number: int) -> UUID:
    """As the function ``job_id`` of the database makes it."""
    return UUID(f"01a2{sort:04x}-0000-7000-8000-{number:012x}")


IDS = Ids(
    ended=id_of(0, 100),
    ended_training=id_of(0, 200),
    queued=id_of(1, 5),
    small=id_of(2, 5),
    running=id_of(3, 5),
    waiting=id_of(4, 5),
)


def fill(ledger: Ledger) -> None:
    """Fill a database that has just been migrated, and let Postgres analyze it."""
    values = {
        **{"ended": ENDED_JOBS, "shards": SHARDS_PER_JOB, "jobs": JOBS_WITH_RESULTS, "rows": ROWS_PER_JOB},
        **{"active": ACTIVE_JOBS, "key": BATCH_KEY},
    }
    with ledger.database.own_connection() as conn:
        # The parameters are filled in by the client: a function's body takes none.
        cursor = psycopg.ClientCursor(conn)
        for statement in _FILL:
            cursor.execute(statement, values if "%(" in statement else None)
        conn.execute("VACUUM ANALYZE")
