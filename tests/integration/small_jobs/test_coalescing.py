"""Small jobs that share a message: none is published without need, and none is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import pytest
import redis
from celery import Celery

from longshore.broker import relay as relay_module
from longshore.broker.coalescing import KEY_TTL_S, Coalescer
from longshore.broker.coalescing_key import CoalescingKey
from longshore.broker.relay import Relay
from longshore.broker.tickets import Message
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.jobs.submission import tickets_of
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import NewJob
from longshore.shared.ledger.shards.batching import batch_key_of
from longshore.shared.settings import Settings
from tests.integration.queued import flat, lose_all, message_count, pass_time, take_all
from tests.integration.support import LEASE, new_job

BATCH_KEY = batch_key_of("sha256:1", "{}")
KEY = CoalescingKey("cpu", 4, BATCH_KEY)


@pytest.fixture
def coalescer(app: Celery, services: Settings) -> Coalescer:
    return Coalescer(app, services)


@pytest.fixture
def connection(services: Settings) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(services.redis_url) as client:
        yield client


def submit(ledger: Ledger, coalescer: Coalescer, job: NewJob | None = None) -> tuple[UUID, bool]:
    """Submit as a producer does. Returns the job and whether a message was published for it."""
    made = job or new_job(1, batch_key=BATCH_KEY)
    ledger.submissions.submit([made])
    return made.id, coalescer.publish(Message(tuple(tickets_of([made]))))


def claim(ledger: Ledger, *jobs: UUID) -> list[UUID]:
    claims = ledger.attempts.claim_many([(job, 0) for job in jobs], worker="a", lease=LEASE)
    return [each.job_id for each in claims]


def test_one_message_is_enough_until_it_is_taken(app: Celery, ledger: Ledger, coalescer: Coalescer) -> None:
    made = [submit(ledger, coalescer) for _ in range(5)]
    assert [published for _, published in made] == [True, False, False, False, False]
    [[name]] = take_all(app)
    coalescer.release(KEY)
    assert claim(ledger, name[0]) == [job for job, _ in made]
    assert submit(ledger, coalescer)[1] is True


def test_a_job_submitted_between_the_release_and_the_claim_is_claimed_or_published(
    app: Celery, ledger: Ledger, coalescer: Coalescer
) -> None:
    first, _ = submit(ledger, coalescer)
    coalescer.release(KEY)
    second, published = submit(ledger, coalescer)
    assert published
    assert claim(ledger, first) == [first, second]
    # Its own message finds nothing to do.
    assert claim(ledger, second) == []


@pytest.mark.parametrize(
    "other",
    [{"priority": 9}, {"queue": "gpu"}, {"batch_key": batch_key_of("sha256:1", '{"logits":true}')}],
)
def test_what_differs_has_a_message_of_its_own(
    ledger: Ledger, coalescer: Coalescer, other: dict[str, str | int]
) -> None:
    assert submit(ledger, coalescer)[1]
    assert submit(ledger, coalescer, new_job(1, **{"batch_key": BATCH_KEY, **other}))[1]  # type: ignore[arg-type]


def test_the_relay_publishes_shards_coalesced_behind_a_lost_message(
    app: Celery, ledger: Ledger, coalescer: Coalescer, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "PUBLISH_GRACE_S", 600.0)
    jobs = [submit(ledger, coalescer)[0] for _ in range(3)]
    lose_all(services)
    relay = Relay(ledger, app)
    relay.step()
    assert message_count(app) == 0
    pass_time(ledger)
    relay.step()
    assert sorted(flat(take_all(app))) == sorted((job, 0) for job in jobs)


def test_a_message_that_waits_long_is_not_mistaken_for_a_lost_one(
    app: Celery, ledger: Ledger, coalescer: Coalescer
) -> None:
    for _ in range(3):
        submit(ledger, coalescer)
    pass_time(ledger)
    relay = Relay(ledger, app)
    for _ in range(3):
        relay.step()
        pass_time(ledger)
        assert relay.replace_lost_tickets() == 0
    # The first, and one of the relay for all three.
    assert message_count(app) == 2


def test_a_key_that_nobody_deletes_expires(connection: redis.Redis, ledger: Ledger, coalescer: Coalescer) -> None:
    submit(ledger, coalescer)
    assert 0 < connection.ttl(f"longshore:coalesce:{KEY}") <= KEY_TTL_S
    connection.expire(f"longshore:coalesce:{KEY}", 0)
    assert submit(ledger, coalescer)[1]


def test_the_message_contains_its_coalescing_key(app: Celery, ledger: Ledger, coalescer: Coalescer) -> None:
    job, _ = submit(ledger, coalescer)
    with app.connection_for_read() as connection:
        message = app.amqp.queues["cpu"](connection.default_channel).get(no_ack=True, accept=["msgpack"])
    shard_ids, key = message.payload[0]
    assert shard_ids == [[str(job), 0]]
    assert CoalescingKey.parse(key) == KEY
    assert message.headers["argsrepr"] == f"{job} digits:1 rows 0-1"


def test_shards_without_a_common_batch_key_are_refused(coalescer: Coalescer) -> None:
    tickets = tickets_of([new_job(1, batch_key=BATCH_KEY), new_job(1)])
    with pytest.raises(ValueError, match="no batch key in common"):
        coalescer.publish(Message(tuple(tickets)))
    tried = replace(tickets[0], attempt=1)
    assert Message((tried,)).batch_key is None


def test_an_unreachable_redis_raises_service_unavailable(services: Settings, ledger: Ledger) -> None:
    from longshore.broker.app import make_app

    away = replace(services, redis_url="redis://127.0.0.1:1/0")
    app = make_app(away)
    with pytest.raises(ServiceUnavailable, match="Redis cannot be reached"):
        submit(ledger, Coalescer(app, away))
    app.close()
