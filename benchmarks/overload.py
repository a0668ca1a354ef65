"""A queue of a million shards against a short one: submissions, claims, throughput, rounds of the relay, lost leases.

usage: python -m benchmarks.overload [--shards 1000000] [--short 10000] [--producers 20] [--jobs 50]

One half of the shards belongs to jobs of a thousand shards, the other to jobs of one row, which run in batches. Workers
are this process, which claims and commits and computes nothing: only the queue is measured.
"""

from __future__ import annotations

import argparse
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import msgpack
import numpy as np
import pyarrow as pa
import redis
from rich.console import Console
from rich.table import Table

from benchmarks.cluster import running_cluster, train_mlp, wait_for_worker
from benchmarks.crowd import crowd
from longshore.broker.app import make_app
from longshore.broker.embedded.plan import WORKERS, Service
from longshore.broker.relay import Relay
from longshore.producers import Client
from longshore.shared.ledger.database import Connection
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.batching import Finished
from longshore.shared.ledger.shards.copy_rows import result_lines
from longshore.shared.settings import Process, load_settings

#: Nobody serves this queue, so that the worker that trains the model takes nothing from it.
QUEUE: Final = "gpu"
SHARDS_PER_JOB: Final = 1000
#: Shards of one row that share a message.
SHARDS_PER_MESSAGE: Final = 512
EXPIRED: Final = 15_000
ROUNDS: Final = 30
CLAIMS: Final = 300
#: Messages of small shards, and as many of one shard each, that a worker takes to measure its throughput: no more than
#: a short queue has, so that both queues lose the same.
TAKEN: Final = 9
LEASE: Final = {"worker": "benchmark", "lease": 600.0}
ROW = np.full((1, 8), 0.5, np.float32)

#: Jobs of many shards, each published by itself, the first longest ago.
_LARGE: Final = """
    WITH new AS (
        INSERT INTO jobs (id, kind, state, producer, queue, priority, spec, model, version, digest, max_attempts,
                          rows_total, shards_total)
        SELECT uuidv7(), 'infer', 'queued', 'benchmark', %(queue)s, 4, '{}', 'wide', 1, 'sha256:1', 3,
               %(each)s, %(each)s
        FROM generate_series(1, %(jobs)s) RETURNING id
    )
    INSERT INTO shards (job_id, index, action, state, queue, priority, start, stop, attempt_limit, published_at,
                        message_id)
    SELECT id, index, 'infer', 'queued', %(queue)s, 4, index, index + 1, 3,
           now() - interval '2 hours' + row_number() OVER (ORDER BY id, index) * interval '1 millisecond',
           gen_random_uuid()
    FROM new, generate_series(0, %(each)s - 1) AS index
"""
#: Jobs of one row, of ten versions.
_SMALL: Final = """
    WITH new AS (
        INSERT INTO jobs (id, kind, state, producer, queue, priority, spec, model, version, digest, max_attempts,
                          rows_total, shards_total)
        SELECT uuidv7(), 'infer', 'queued', 'benchmark', %(queue)s, 4, '{}', 'wide', 1, 'sha256:1', 3, 1, 1
        FROM generate_series(1, %(jobs)s) RETURNING id
    ), numbered AS MATERIALIZED (
        SELECT id, (row_number() OVER (ORDER BY id) - 1) / %(each)s AS message FROM new
    ), messages AS MATERIALIZED (
        SELECT message, gen_random_uuid() AS message_id FROM (SELECT DISTINCT message FROM numbered) AS each
    )
    INSERT INTO shards (job_id, index, action, state, queue, priority, start, stop, attempt_limit, published_at,
                        message_id, batch_key)
    SELECT id, 0, 'infer', 'queued', %(queue)s, 4, 0, 1, 3,
           now() - interval '1 hour' + message * interval '1 millisecond', message_id,
           md5((message %% 10)::text)
    FROM numbered JOIN messages USING (message)
"""
#: Each message with the shards that it names, oldest first.
_MESSAGES: Final = """
    SELECT message_id, array_agg(job_id ORDER BY job_id, index), array_agg(index ORDER BY job_id, index)
    FROM shards WHERE state = 'queued' GROUP BY message_id ORDER BY min(published_at)
"""
_EXPIRE: Final = """
    UPDATE shards SET state = 'running', attempt = 1, lease_until = now() - interval '1 second'
    WHERE (job_id, index) IN (
        SELECT job_id, index FROM shards WHERE state = 'queued' AND batch_key IS NULL LIMIT %(count)s)
"""
Names = list[tuple[UUID, int]]


def fill(client: Client, ledger: Ledger, shards: int) -> tuple[list[Names], list[Names]]:
    """Queue so many shards, in Postgres and in Redis; returns what the messages of each half name."""
    with ledger.database.own_connection() as conn:
        conn.execute("TRUNCATE jobs, shards, results, row_errors")
        conn.execute(_LARGE, {"queue": QUEUE, "each": SHARDS_PER_JOB, "jobs": max(1, shards // 2 // SHARDS_PER_JOB)})
        conn.execute(_SMALL, {"queue": QUEUE, "each": SHARDS_PER_MESSAGE, "jobs": shards // 2})
        conn.execute("VACUUM ANALYZE jobs, shards")
        large, small = _publish(client, conn)
    return large, small


def _publish(client: Client, conn: Connection) -> tuple[list[Names], list[Names]]:
    large: list[Names] = []
    small: list[Names] = []
    with redis.Redis.from_url(client.settings.redis_url) as server, conn.transaction():
        server.flushdb()
        pipe = server.pipeline(transaction=False)
        # Celery's list of this queue and of priority 4.
        key = f"{QUEUE}\x06\x165"
        for number, (message, jobs, indexes) in enumerate(conn.execute(_MESSAGES)):
            names = list(zip(jobs, indexes, strict=True))
            (small if len(names) > 1 else large).append(names)
            body = b64encode(msgpack.packb(([[[str(job), index] for job, index in names]], {}, {}))).decode()
            pipe.lpush(key, f'{{"headers": {{"id": "{message}"}}, "body": "{body}"}}')
            if number % 1000 == 999:
                pipe.execute()
        pipe.execute()
    return large, small


def times_ms(count: int, call: Callable[[int], object]) -> list[float]:
    """How long each of some calls takes."""
    times = []
    for number in range(count):
        start = time.perf_counter()
        call(number)
        times.append(1000 * (time.perf_counter() - start))
    return times


def submissions_ms(client: Client, producers: int, jobs: int) -> list[float]:
    """How long each submission takes while all producers submit at once."""
    with crowd(producers, submit_each, client.settings.home, jobs) as members:
        members.start()
        return [float(each) for times in members.answers() if isinstance(times, list) for each in times]


def submit_each(begin: Callable[[], object], home: Path, jobs: int) -> list[float]:
    """What the process of a producer does."""
    with Client(home=home) as client:
        client.infer("wide:1", ROW, device="gpu")
        begin()
        return times_ms(jobs, lambda _: client.infer("wide:1", ROW, device="gpu"))


def throughput(ledger: Ledger, large: list[Names], small: list[Names]) -> float:
    """Shards per second that one worker claims and commits, which computes nothing."""
    done, start = 0, time.perf_counter()
    for pair in zip(small[:TAKEN], large[:TAKEN], strict=True):
        for names in pair:
            claims = ledger.attempts.claim_many(names, worker="benchmark", lease=600.0)
            if len(claims) > 1:
                ledger.attempts.commit_batch([Finished(claim, 1) for claim in claims], lines(claims))
            for claim in claims if len(claims) == 1 else ():
                with ledger.attempts.writing(claim) as writer:
                    writer.results(lines([claim]))
                    writer.fence(1)
                    writer.finish()
            done += len(claims)
    return done / (time.perf_counter() - start)


def lines(claims: Sequence[Claim]) -> memoryview:
    """A result of each shard's row."""
    rows = pa.array([claim.start for claim in claims], pa.int64())
    return result_lines(pa.array([str(claim.job_id) for claim in claims]), rows, pa.array(["{}"] * len(claims)))


def measure(client: Client, shards: int, producers: int, jobs: int) -> dict[str, float]:
    """Every number at a queue of this length."""
    app = make_app(client.settings)
    owner = load_settings(home=client.settings.home, environ={}, process=Process.OWNER)
    with Ledger(owner.database_url, "benchmark", plan_anew=True) as ledger:
        large, small = fill(client, ledger, shards)
        relay = Relay(ledger, app)

        def one_round(_: int) -> None:
            relay._compared_at = -1e9  # each round compares with Redis
            relay.step()

        rounds = times_ms(ROUNDS, one_round)[1:]
        random = np.random.default_rng(0)
        chosen = [large[index][0] for index in random.permutation(len(large))[: min(CLAIMS, len(large) // 2)]]
        claims = times_ms(len(chosen), lambda n: ledger.attempts.claim(*chosen[n], worker="benchmark", lease=600.0))
        with ledger.database.connection() as conn:
            conn.execute("UPDATE shards SET state = 'queued', lease_until = NULL, attempt = 0 WHERE state = 'running'")
        first = ledger.attempts.claim(*large.pop(0)[0], worker="benchmark", lease=600.0)
        assert first is not None
        following = times_ms(CLAIMS, lambda _: ledger.attempts.claim_next(first, worker="benchmark", lease=600.0))
        rate = throughput(ledger, large, small)
        submitted = submissions_ms(client, producers, jobs)
        with ledger.database.connection() as conn:
            conn.execute(_EXPIRE, {"count": min(EXPIRED, shards // 4)})
        expiry = times_ms(1, lambda _: ledger.maintenance.expire_leases())
    app.close()
    return {
        "relay round, median (ms)": float(np.median(rounds)),
        "relay round, slowest (ms)": max(rounds),
        "claim by name, p99 (ms)": float(np.percentile(claims, 99)),
        "claim of a job's next shard, p99 (ms)": float(np.percentile(following, 99)),
        "one worker that computes nothing (shards/s)": rate,
        f"submission, {producers} producers, p50 (ms)": float(np.percentile(submitted, 50)),
        f"submission, {producers} producers, p99 (ms)": float(np.percentile(submitted, 99)),
        f"expiry of {min(EXPIRED, shards // 4):,} leases (ms)": expiry[0],
    }


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=1_000_000)
    parser.add_argument("--short", type=int, default=10_000)
    parser.add_argument("--producers", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=50, help="submissions of each producer")
    options = parser.parse_args()
    with running_cluster(services=[Service(name="workers", argv=(*WORKERS, "--devices", "cpu"))]) as client:
        wait_for_worker(client)
        train_mlp(client, "wide", 8, 16, 3)
        columns = [
            measure(client, shards, options.producers, options.jobs) for shards in (options.short, options.shards)
        ]
    table = Table(title="a short queue and a long one")
    for header in ("", f"{options.short:,} shards", f"{options.shards:,} shards"):
        table.add_column(header, justify="left" if not header else "right")
    for (name, short), (long_name, long) in zip(columns[0].items(), columns[1].items(), strict=True):
        table.add_row(name if name == long_name else f"{name}; {long_name}", f"{short:,.1f}", f"{long:,.1f}")
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
