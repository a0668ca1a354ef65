"""Processes of the release before, revision 0009, that go on working on the tables of this one.

``statements.json`` has every statement of that release, and ``messages.json`` two of its messages; see README.md.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import redis
from celery import Celery
from psycopg import sql
from uuid_utils.compat import uuid7

from longshore.broker.inbound.tickets import check_ticket
from longshore.broker.publishing import send
from longshore.broker.tickets import Message
from longshore.shared.errors import AttemptLost
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.locks import RELAY_LOCK
from longshore.shared.ledger.records import Ticket
from longshore.shared.settings import Settings
from longshore.shared.vocabulary import State
from tests.integration.explained import explained
from tests.integration.support import LEASE, claim, commit, expire, lines, rows_of, submit
from tests.waiting import wait_until

STATEMENTS: Mapping[str, str] = json.loads(Path(__file__).with_name("statements.json").read_text())
MESSAGES: Sequence[dict[str, object]] = json.loads(Path(__file__).with_name("messages.json").read_text())
#: What a claim of that release gives as its worker.
WORKER = "cpu:0@old"


class OldProcess:
    """A worker, relay or producer of that release: its statements on a connection, one transaction for each method."""

    def __init__(self, conn: psycopg.Connection[tuple[object, ...]]) -> None:
        self._conn = conn

    def run(self, name: str, **values: object) -> list[tuple[object, ...]]:
        with self._conn.transaction():
            return self._run(name, **values)

    def submit(self, rows: int) -> UUID:
        """One small job, in one statement."""
        job = uuid7()
        values = {"id": job, "kind": "infer", "producer": "old", "queue": "cpu", "priority": 4, "spec": "{}"}
        values |= {"model": "digits", "version": 1, "digest": "sha256:0", "max_attempts": 3, "rows_per_shard": None}
        values |= {"rows_total": rows, "timeout": None, "action": "infer", "start": 0, "stop": rows, "offset": None}
        self.run("submission.SUBMIT_ONE", **values, length=None, batch_key=None, input=None, data=None, blob=None)
        return job

    def claim(self, job: UUID) -> int | None:
        """Its attempt, if the shard was free."""
        limits = {"max_shards": 0, "max_rows": 4096}
        found = self.run("attempts.CLAIM", jobs=[job], shards=[0], worker=WORKER, lease=LEASE, **limits)
        return int(str(found[0][2])) if found else None

    def renew(self, job: UUID, attempt: int) -> bool:
        return bool(self.run("attempts.RENEW", job=job, shard=0, attempt=attempt, lease=LEASE, rows=0))

    def commit(self, job: UUID, attempt: int, content: memoryview, rows: int) -> bool:
        """Whether it passed the fence."""
        passed = False
        with self._conn.transaction() as transaction:
            with self._conn.cursor().copy(sql.SQL(STATEMENTS["attempts.COPY_RESULTS"])) as copy:
                copy.write(content)
            if not self._run("attempts.FINISH_SHARD", job=job, shard=0, attempt=attempt, rows=rows):
                raise psycopg.Rollback(transaction)
            counts = {"failed": 0, "added": 0, "rows_total": None, "outcome": None, "notes": "[]"}
            self._run("attempts.COUNT_SHARD_DONE", job=job, rows=rows, **counts)
            self._run("attempts.SETTLE_JOBS", jobs=[job])
            passed = True
        return passed

    def fail(self, job: UUID, attempt: int) -> object:
        """The state of the shard."""
        values = {"job": job, "shard": 0, "attempt": attempt, "error": "broken", "permanent": False}
        return self.run("attempts.FAIL_SHARD", **values)[0][0]

    def expire(self) -> list[tuple[object, ...]]:
        """What its relay does with one attempt whose lease has run out."""
        with self._conn.transaction():
            found = self._run("maintenance.LOCK_EXPIRED")
            for job, shard, attempt in found:
                values = {"job": job, "shard": shard, "attempt": attempt, "error": "lost", "permanent": False}
                self._run("attempts.FAIL_SHARD", **values)
        return found

    def retry(self, job: UUID) -> None:
        with self._conn.transaction():
            shards = self._run("cancel_retry.RETRY_SHARDS", job=job)
            assert shards
            self._run("cancel_retry.RETRY_JOB", job=job, shards=0, rows=0)

    def _run(self, name: str, **values: object) -> list[tuple[object, ...]]:
        found = self._conn.execute(sql.SQL(STATEMENTS[name]), values)
        return found.fetchall() if found.description else []


@pytest.fixture
def old(ledger: Ledger, services: Settings) -> Iterator[OldProcess]:
    with psycopg.connect(services.database_url, autocommit=True) as conn:
        yield OldProcess(conn)


def fields_of(ledger: Ledger, job: UUID) -> tuple[object, ...]:
    """What this release has added to a shard."""
    [shard] = ledger.queries.shards(job)
    return shard.state, shard.not_before, shard.waits_for, shard.outages


def test_every_statement_fits_the_tables(services: Settings) -> None:
    assert len(STATEMENTS) > 100
    refused = {}
    with psycopg.connect(services.database_url, autocommit=True) as conn:
        for name, text in STATEMENTS.items():
            try:
                conn.execute(sql.SQL(explained(text)))
            except psycopg.Error as error:
                refused[name] = str(error)
    assert refused == {}


def test_an_old_producer_and_an_old_worker_do_a_job(ledger: Ledger, old: OldProcess) -> None:
    job = old.submit(3)
    assert [ticket.job_id for ticket in ledger.maintenance.unpublished(grace=0)] == [job]
    assert fields_of(ledger, job) == (State.QUEUED, None, None, 0)
    attempt = old.claim(job)
    assert attempt == 1
    assert old.renew(job, attempt)
    content = lines(replace(claim(ledger, submit(ledger, 3)), job_id=job))
    assert old.commit(job, attempt, content, 3)
    assert ledger.queries.job(job).state is State.SUCCEEDED
    assert rows_of(ledger, job) == [0, 1, 2]


def test_a_frozen_old_worker_loses_its_shard_and_writes_nothing(ledger: Ledger, old: OldProcess) -> None:
    job = submit(ledger, 2)
    attempt = old.claim(job)
    assert attempt is not None
    assert expire(ledger, job) == 1
    current = claim(ledger, job)
    assert not old.renew(job, attempt)
    assert not old.commit(job, attempt, lines(current), 2)
    commit(ledger, current)
    assert rows_of(ledger, job) == [0, 1]


def test_an_old_relay_ends_an_attempt_of_a_new_worker(ledger: Ledger, old: OldProcess) -> None:
    job = submit(ledger, 2)
    lost = claim(ledger, job)
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET lease_until = now() - interval '1 second' WHERE job_id = %s", [job])
    assert old.expire() == [(job, 0, 1)]
    assert fields_of(ledger, job) == (State.QUEUED, None, None, 0)
    with pytest.raises(AttemptLost):
        commit(ledger, lost)
    assert [ticket.job_id for ticket in ledger.maintenance.unpublished(grace=0)] == [job]
    commit(ledger, claim(ledger, job))
    assert rows_of(ledger, job) == [0, 1]


@pytest.mark.parametrize("missing", [False, True])
def test_an_old_worker_takes_and_fails_what_waits_for_the_end_of_an_outage(
    ledger: Ledger, old: OldProcess, missing: bool
) -> None:
    job = submit(ledger, 2)
    assert ledger.attempts.defer(claim(ledger, job), "store away", missing=missing) is State.QUEUED
    attempt = old.claim(job)
    assert attempt == 2
    assert old.fail(job, attempt) == "queued"
    # It waits for the end of its pause; then a worker of this release takes it.
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET not_before = now() WHERE job_id = %s", [job])
    assert [ticket.job_id for ticket in ledger.maintenance.unpublished(grace=0)] == [job]
    again = claim(ledger, job)
    assert (again.attempt, again.attempt_limit) == (3, 4)
    commit(ledger, again)
    record = ledger.queries.job(job)
    assert (record.state, record.waits_for) == (State.SUCCEEDED, None)


def test_an_old_client_retries_what_failed_on_a_new_worker(ledger: Ledger, old: OldProcess) -> None:
    job = submit(ledger, 2, max_attempts=1)
    assert ledger.attempts.fail(claim(ledger, job), "broken", permanent=False) is State.FAILED
    old.retry(job)
    record = ledger.queries.job(job)
    assert (record.state, record.error) == (State.QUEUED, None)
    assert [ticket.job_id for ticket in ledger.maintenance.unpublished(grace=0)] == [job]
    commit(ledger, claim(ledger, job))
    assert rows_of(ledger, job) == [0, 1]


def test_an_old_relay_that_leads_is_replaced(ledger: Ledger, services: Settings) -> None:
    """It asks nothing on the connection that has the lead, and waits for notifications there."""
    with psycopg.connect(services.database_url, autocommit=True) as old, ledger.database.own_connection() as conn:
        assert old.execute("SELECT pg_try_advisory_lock(%s)", [RELAY_LOCK]).fetchone() == (True,)
        assert not ledger.maintenance.try_lead(conn)
        assert not ledger.maintenance.end_silent_lead(conn, 60)
        assert ledger.maintenance.end_silent_lead(conn, 0)
        wait_until(lambda: ledger.maintenance.try_lead(conn), "the lead")
        with pytest.raises(psycopg.OperationalError):
            old.execute("SELECT 1")


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_those_of_the_release_before(app: Celery, services: Settings, message: dict[str, object]) -> None:
    """So old workers take what this release publishes, and workers of this release what waits in Redis."""
    checked = check_ticket(json.dumps(message).encode(), "cpu")
    assert without_names(checked) == without_names(message)

    headers = message["headers"]
    assert isinstance(headers, dict)
    arguments = b64decode(str(message["body"]))
    coalescing_key = "cpu:4:" + "a" * 32 if b"cpu:4:" in arguments else None
    job, shard = (4, 0) if coalescing_key else (2, 3)
    action = headers["task"].removeprefix("longshore.")
    ticket = Ticket(UUID(int=job), shard, action, "cpu", 4, 0, 5, "digits", 1)
    send(app, [Message((ticket,), UUID(headers["id"]), coalescing_key)])
    with redis.Redis.from_url(services.redis_url) as client:
        [published] = client.lrange("cpu\x06\x165", 0, -1)
    assert without_names(json.loads(published)) == without_names(message)


def without_names(message: Mapping[str, object]) -> dict[str, object]:
    """A message without what differs each time, the process it came from, and the line for people."""
    headers, properties = message["headers"], message["properties"]
    assert isinstance(headers, dict)
    assert isinstance(properties, dict)
    return {
        **message,
        "headers": {key: value for key, value in headers.items() if key not in ("origin", "argsrepr")},
        "properties": {key: value for key, value in properties.items() if key != "delivery_tag"},
    }
