"""A clock is set forward or back: nothing waits for the length of the step, and no attempt is lost by it.

For Postgres, a clock that is set back makes all times that it has written later; and the clock that nobody sets goes on
by as much more than that of Postgres.
"""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest
import redis
from celery import Celery

from longshore.broker.gateway.rate_limits import KEY, Bucket, RateLimits
from longshore.broker.redis_address import parse_redis_url
from longshore.broker.relay import Relay
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.workers import Presence
from longshore.shared.settings import Settings
from longshore.shared.vocabulary import State
from tests.integration.queued import Name, flat, lose_all, message_count, submit_published, take_all, train_jobs
from tests.integration.support import LEASE, claim, commit, submit
from tests.waiting import wait_until

STEP_S = 3 * 3600.0


class SettableClock:
    """A clock that nobody sets but the test."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


def set_clock(ledger: Ledger, clock: SettableClock, step: float) -> None:
    """Set the clock of Postgres: forward by ``step`` seconds, or back if it is below 0."""
    clock.seconds -= step
    times = {
        "shards": ("leased_at", "lease_until", "published_at", "not_before", "missing_since"),
        "jobs": ("created_at",),
        "workers": ("seen_at",),
    }
    with ledger.database.connection() as conn:
        for table, columns in times.items():
            changes = ", ".join(f"{column} = {column} - make_interval(secs => %(step)s)" for column in columns)
            conn.execute(f"UPDATE {table} SET {changes}".encode(), {"step": step})


def seconds_to(ledger: Ledger, column: str, name: Name) -> float:
    """Seconds from now to a time of a shard."""
    with ledger.database.connection() as conn:
        query = f"SELECT extract(epoch FROM {column} - now())::float8 FROM shards WHERE job_id = %s AND index = %s"
        row = conn.execute(query.encode(), list(name)).fetchone()
    assert row is not None
    return float(row[0])


def test_set_forward_it_takes_no_lease(app: Celery, ledger: Ledger, clock: SettableClock) -> None:
    running, lost = submit(ledger, 1), submit(ledger, 1)
    attempt = claim(ledger, running)
    claim(ledger, lost)
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET lease_until = now() + interval '1 second' WHERE job_id = %s", [lost])
        conn.execute("UPDATE shards SET missing_since = now() WHERE job_id = %s", [running])
    relay = Relay(ledger, app, clock=clock)
    relay.step()
    # The one had a second left, and ended an hour before the step.
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET lease_until = now() - interval '1 hour' WHERE job_id = %s", [lost])
    set_clock(ledger, clock, STEP_S)
    relay.step()
    assert relay.attempts_lost == 1
    assert 0 < seconds_to(ledger, "lease_until", (running, 0)) <= LEASE
    assert seconds_to(ledger, "missing_since", (running, 0)) > -60
    commit(ledger, attempt)
    assert ledger.queries.job(running).state is State.SUCCEEDED


def test_set_forward_it_lengthens_no_lease_that_was_granted_since(
    app: Celery, ledger: Ledger, clock: SettableClock
) -> None:
    relay = Relay(ledger, app, clock=clock)
    relay.step()
    set_clock(ledger, clock, STEP_S)
    lost = submit(ledger, 1)
    claim(ledger, lost)
    with ledger.database.connection() as conn:
        conn.execute(
            "UPDATE shards SET leased_at = now() - interval '7 seconds', lease_until = now() - interval '2 seconds'"
            " WHERE job_id = %s",
            [lost],
        )
    # It learns of the step only now, and the worker is gone since.
    relay.step()
    assert relay.attempts_lost == 1


def test_set_back_no_lease_lasts_longer(app: Celery, ledger: Ledger, clock: SettableClock) -> None:
    lost, renewed = submit(ledger, 1), submit(ledger, 1)
    claim(ledger, lost)
    attempt = claim(ledger, renewed)
    relay = Relay(ledger, app, clock=clock)
    relay.step()
    set_clock(ledger, clock, -STEP_S)
    assert ledger.attempts.renew(attempt, lease=LEASE, rows=0, changed=False)
    relay.step()
    assert 0 < seconds_to(ledger, "lease_until", (lost, 0)) <= LEASE
    assert 0 < seconds_to(ledger, "lease_until", (renewed, 0)) <= LEASE
    assert relay.attempts_lost == 0


def test_set_forward_and_back_while_no_relay_looks_no_lease_lasts_longer(
    app: Celery, ledger: Ledger, clock: SettableClock
) -> None:
    extended, granted = submit(ledger, 1), submit(ledger, 1)
    claim(ledger, extended)
    relay = Relay(ledger, app, clock=clock)
    relay.step()
    relay.step()
    set_clock(ledger, clock, STEP_S)
    # One that leads for a moment, and sees only that the clock was set forward.
    relay.step()
    claim(ledger, granted)
    set_clock(ledger, clock, -STEP_S)
    other = Relay(ledger, app, clock=clock)
    other.step()
    other.step()
    assert 0 < seconds_to(ledger, "lease_until", (extended, 0)) <= LEASE
    assert 0 < seconds_to(ledger, "lease_until", (granted, 0)) <= LEASE
    # While it leads, between two looks.
    late = submit(ledger, 1)
    claim(ledger, late)
    set_clock(ledger, clock, -STEP_S)
    clock.seconds -= STEP_S
    assert seconds_to(ledger, "lease_until", (late, 0)) > LEASE
    other.step()
    assert 0 < seconds_to(ledger, "lease_until", (late, 0)) <= LEASE
    assert relay.attempts_lost == other.attempts_lost == 0


def test_set_back_what_redis_loses_is_published_again(
    app: Celery, ledger: Ledger, clock: SettableClock, services: Settings
) -> None:
    names = submit_published(app, ledger, *train_jobs(3))
    delayed = submit(ledger, 1)
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET not_before = now() + interval '1 minute' WHERE job_id = %s", [delayed])
    set_clock(ledger, clock, -STEP_S)
    lose_all(services)
    # Its producer did not publish it, and is gone.
    unpublished = submit(ledger, 1)
    with ledger.database.connection() as conn:
        conn.execute("UPDATE jobs SET created_at = now() + interval '1 hour' WHERE id = %s", [unpublished])
    # One that begins to lead: nobody has seen the step.
    relay = Relay(ledger, app, clock=clock)
    relay.step()
    assert flat(take_all(app)) == [(unpublished, 0)]
    assert seconds_to(ledger, "not_before", (delayed, 0)) <= 60
    for name in names:
        assert seconds_to(ledger, "published_at", name) <= 0
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET published_at = published_at - interval '1 minute'")
    # The three, and the one that was just taken and is not claimed. The last one waits for its time.
    assert relay.replace_lost_tickets() == 4
    assert message_count(app) == 4


def test_set_back_a_worker_that_is_gone_is_not_alive(ledger: Ledger, clock: SettableClock) -> None:
    ledger.workers.see(Presence(name="cpu:0@gone", device="cpu", queue="cpu", host="gone", pid=1, families=[]))
    assert ledger.workers.live_queues() == {"cpu"}
    set_clock(ledger, clock, -STEP_S)
    assert [worker.alive for worker in ledger.workers.workers()] == [False]
    assert ledger.workers.live_queues() == frozenset()


def test_set_back_a_frozen_relay_loses_the_lead(ledger: Ledger) -> None:
    """The leader has last asked something at a time that is now in the future."""
    with ledger.database.own_connection() as leader, ledger.database.own_connection() as standby:
        assert ledger.maintenance.try_lead(leader)
        assert not ledger.maintenance.end_silent_lead(standby, LEASE)
        standby.execute("CREATE SCHEMA set_back")
        standby.execute("""
            CREATE FUNCTION set_back.clock_timestamp() RETURNS timestamptz LANGUAGE sql
                AS $$SELECT pg_catalog.clock_timestamp() - interval '1 hour'$$
        """)
        try:
            standby.execute("SET search_path = public, set_back, pg_catalog")
            assert ledger.maintenance.end_silent_lead(standby, LEASE)
            with pytest.raises(psycopg.OperationalError):
                ledger.maintenance.prove_lead(leader)
        finally:
            standby.execute("DROP SCHEMA set_back CASCADE")


def test_set_back_that_of_redis_blocks_no_caller(services: Settings) -> None:
    bucket = Bucket("requests:set-back", 100, 1)
    with redis.Redis.from_url(services.redis_url) as client:
        client.hset(KEY + bucket.key, mapping={"left": 0, "at": time.time() + STEP_S})

        async def take() -> bool:
            limits = RateLimits(parse_redis_url(services.redis_url))
            try:
                return (await limits.take(bucket, 1)).taken
            finally:
                await limits.close()

        wait_until(lambda: asyncio.run(take()), "enough in the bucket", timeout_s=60)
        client.delete(KEY + bucket.key)
