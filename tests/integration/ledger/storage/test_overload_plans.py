"""With a long queue, the hot statements read no more of it than they need."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from uuid import UUID

import pytest
import yaml

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings
from tests.compose_file import ROOT
from tests.integration.ledger.storage.test_query_plans import MAX_PAGES, explain, statement_of
from tests.integration.old_jobs import own_ledger

#: Queued shards: of jobs with many, published by themselves; of jobs of one row, published in messages of some hundred,
#: or not yet published.
LARGE_JOBS, SHARDS_PER_JOB, SMALL_JOBS = 20, 1000, 20_000
#: Rows that one execution may visit: those of a full batch several times, and far from all that are queued.
MAX_ROWS = 6000
KEY = "a" * 32
_FILL = (
    """INSERT INTO jobs (id, kind, state, producer, queue, priority, spec, model, version, digest, max_attempts,
                         rows_total, shards_total, created_at)
       SELECT uuidv7(), 'infer', 'queued', 'tests', 'cpu', 4, '{}', 'm', 1, 'sha256:1', 3, shards, shards,
              now() - interval '1 hour'
       FROM (SELECT %(each)s AS shards FROM generate_series(1, %(large)s)
             UNION ALL SELECT 1 FROM generate_series(1, %(small)s)) AS new""",
    """INSERT INTO shards (job_id, index, action, state, queue, priority, start, stop, attempt_limit, published_at,
                           message_id, batch_key)
       SELECT id, index, 'infer', 'queued', 'cpu', 4, index, index + 1, 3,
              CASE WHEN shards_total > 1 OR right(id::text, 1) < '8' THEN now() - interval '1 hour' END,
              CASE WHEN shards_total > 1 THEN gen_random_uuid() WHEN right(id::text, 1) < '8' THEN id END,
              CASE WHEN shards_total = 1 THEN %(key)s END
       FROM jobs, generate_series(0, shards_total - 1) AS index""",
    # Most of the shards of the first job have ended.
    """UPDATE shards SET state = 'succeeded', attempt = 1
       WHERE job_id = (SELECT id FROM jobs WHERE shards_total > 1 ORDER BY id LIMIT 1) AND index < 900""",
)


@pytest.fixture(scope="module")
def full_queue(services: Settings) -> Iterator[Ledger]:
    with own_ledger(services) as ledger:
        values = {"large": LARGE_JOBS, "each": SHARDS_PER_JOB, "small": SMALL_JOBS, "key": KEY}
        with ledger.database.own_connection() as conn:
            for statement in _FILL:
                conn.execute(statement, values if "%(" in statement else None)
            conn.execute("VACUUM ANALYZE")
        yield ledger


def parameters(ledger: Ledger, name: str) -> Mapping[str, object]:
    with ledger.database.connection() as conn:
        published = conn.execute(
            """SELECT message_id, job_id, index FROM shards WHERE state = 'queued' AND batch_key IS NULL
               ORDER BY published_at, job_id, index LIMIT 50"""
        ).fetchall()
        small: UUID = conn.execute("SELECT id FROM jobs WHERE shards_total = 1 LIMIT 1").fetchall()[0][0]
        first: UUID = conn.execute("SELECT id FROM jobs WHERE shards_total > 1 ORDER BY id LIMIT 1").fetchall()[0][0]
    lease = {"worker": "tests", "lease": 60.0}
    queue = {"queue": "cpu", "priority": 4}
    claim = {**lease, "max_shards": 512, "max_rows": 1024}
    peeked = {"messages": [row[0] for row in published], "jobs": [row[1] for row in published]}
    lost = {**peeked, **queue, "shards": [row[2] for row in published], "grace": 5.0, "limit": 500}
    values: dict[str, Mapping[str, object]] = {
        "attempts.CLAIM": {**claim, "jobs": [first], "shards": [950]},
        "attempts.CLAIM of a batch": {**claim, "jobs": [small], "shards": [0]},
        "attempts.CLAIM_NEXT": {**lease, **queue, "job": first, "shard": 899},
        "attempts.CLAIM_NEXT on a GPU": {**lease, **queue, "queue": "gpu", "job": first, "shard": 899},
        "batching.CLAIM_BATCH": {**claim, **queue, "batch_key": KEY},
        "attempts.EXPIRE_LEASES": {"error": "x", "limit": 500},
        "maintenance.PAST_DEADLINE": {},
        "chains.DUE_JOBS": {},
        "maintenance.UNPUBLISHED": {"grace": 2.0, "limit": 500},
        "maintenance.WAITING_QUEUES": {"queues": ["cpu", "gpu"], "grace": 5.0},
        "maintenance.QUEUE_DEPTHS": {"queues": ["cpu", "gpu"], "limit": 1000},
        "maintenance.COUNT_UNPUBLISHED": {"limit": 1000},
        "maintenance.LOST": {**lost, "all": False},
        "maintenance.LOST of an empty queue": {**lost, "all": True},
        "attempts.RENEW": {
            **{**lease, "job": first, "shard": 950, "attempt": 1},
            **{"rows": 1, "age": 0.0, "first_rows": 1, "first_age": 0.0},
        },
    }
    return values[name]


def test_neither_does_the_documented_query_for_keda(full_queue: Ledger) -> None:
    page = (ROOT / "docs" / "how-to" / "metrics.md").read_text()
    documents = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)]
    (scaled,) = [each for each in documents if each.get("kind") == "ScaledObject"]
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    for text in (query, query.replace("'gpu'", "'cpu'")):
        visit = explain(full_queue, text, {})
        assert not visit.scans
        assert visit.rows <= MAX_ROWS
    with full_queue.database.connection() as conn:
        assert [conn.execute(text).fetchone() for text in (query, query.replace("'gpu'", "'cpu'"))] == [(0,), (1000,)]


@pytest.mark.parametrize(
    "name",
    [
        "attempts.CLAIM",
        "attempts.CLAIM of a batch",
        "attempts.CLAIM_NEXT",
        "attempts.CLAIM_NEXT on a GPU",
        "batching.CLAIM_BATCH",
        "attempts.EXPIRE_LEASES",
        "maintenance.PAST_DEADLINE",
        "chains.DUE_JOBS",
        "maintenance.UNPUBLISHED",
        "maintenance.WAITING_QUEUES",
        "maintenance.QUEUE_DEPTHS",
        "maintenance.COUNT_UNPUBLISHED",
        "maintenance.LOST",
        "maintenance.LOST of an empty queue",
        "attempts.RENEW",
    ],
)
def test_a_hot_statement_does_not_read_the_queue(full_queue: Ledger, name: str) -> None:
    visit = explain(full_queue, statement_of(name.split(" ")[0]), parameters(full_queue, name))
    assert not visit.scans
    assert visit.rows <= MAX_ROWS
    assert visit.pages <= 20 * MAX_PAGES
