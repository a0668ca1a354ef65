"""The relay and tickets: published late, lost, doubled, stale; all that was submitted is run."""

from __future__ import annotations

import json
import random
from base64 import b64decode
from dataclasses import replace

import msgpack
import pytest
import redis
from celery import Celery

from longshore.broker import relay as relay_module
from longshore.broker import upcoming
from longshore.broker.coalescing import Coalescer
from longshore.broker.publishing import publish
from longshore.broker.relay import Relay
from longshore.broker.tickets import Message, parse_shard_ids
from longshore.broker.upcoming import MAX_PEEKED
from longshore.shared.ledger.jobs.submission import tickets_of
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.shards.batching import MAX_BATCH_SHARDS
from longshore.shared.settings import Settings
from longshore.shared.vocabulary import State
from tests.integration.queued import (
    Name,
    flat,
    lose_all,
    message_count,
    pass_time,
    submit_published,
    take_all,
    train_jobs,
)
from tests.integration.support import LEASE, claim, expire, new_job, submit


def test_what_its_producer_did_not_publish_is_published_after_a_grace(
    app: Celery, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "PUBLISH_GRACE_S", 600.0)
    job, relay = submit(ledger, 2000, 2000), Relay(ledger, app)
    relay.step()
    assert message_count(app) == 0

    pass_time(ledger)
    relay.step()
    relay.step()
    assert sorted(flat(take_all(app))) == [(job, 0), (job, 1)]


def test_an_attempt_that_is_lost_or_handed_back_is_published_at_once(app: Celery, ledger: Ledger) -> None:
    lost, handed_back = submit(ledger, 1), submit(ledger, 1)
    claim(ledger, lost)
    ledger.attempts.release(claim(ledger, handed_back))
    with ledger.database.connection() as link:
        link.execute("UPDATE shards SET lease_until = now() - interval '1 second' WHERE state = 'running'")
    Relay(ledger, app).step()
    assert sorted(flat(take_all(app))) == sorted([(lost, 0), (handed_back, 0)])


def test_what_ended_or_is_out_of_tries_is_not_published(app: Celery, ledger: Ledger) -> None:
    given_up, cancelled, late = submit(ledger, 1, max_attempts=1), submit(ledger, 1), submit(ledger, 1, timeout=0.001)
    claim(ledger, given_up)
    expire(ledger, given_up)
    ledger.control.cancel(cancelled)
    pass_time(ledger)
    Relay(ledger, app).step()
    assert message_count(app) == 0
    states = [ledger.queries.job(job).state for job in (given_up, cancelled, late)]
    assert states == [State.FAILED, State.CANCELLED, State.FAILED]


def test_all_that_waits_is_published_again_after_a_flush(app: Celery, ledger: Ledger, services: Settings) -> None:
    names = submit_published(app, ledger, *train_jobs(20))
    relay = Relay(ledger, app)
    assert message_count(app) == 20
    lose_all(services)
    assert message_count(app) == 0

    assert relay.replace_lost_tickets() == 20
    assert relay.replace_lost_tickets() == 0
    assert sorted(flat(take_all(app))) == sorted(names)


def test_nothing_is_published_again_while_nothing_is_lost(app: Celery, ledger: Ledger) -> None:
    jobs = [*train_jobs(3), *(new_job(1, 1) for _ in range(5)), new_job(1, 2000, queue="gpu")]
    submit_published(app, ledger, *jobs)
    relay = Relay(ledger, app)
    assert relay.replace_lost_tickets() == 0
    assert (message_count(app), message_count(app, "gpu")) == (4, 2)


def test_a_ticket_just_taken_is_left_to_its_worker(app: Celery, ledger: Ledger) -> None:
    jobs = train_jobs(3)
    ledger.submissions.submit(jobs)
    publish(app, ledger, tickets_of(jobs))
    take_all(app)
    assert Relay(ledger, app).replace_lost_tickets() == 0
    pass_time(ledger)
    assert Relay(ledger, app).replace_lost_tickets() == 3


def test_doubled_tickets_do_not_multiply(app: Celery, ledger: Ledger) -> None:
    jobs = train_jobs(5)
    submit_published(app, ledger, *jobs)
    publish(app, ledger, tickets_of(jobs))
    pass_time(ledger)
    relay = Relay(ledger, app)
    for _ in range(3):
        relay.step()
        assert relay.replace_lost_tickets() == 0
    assert message_count(app) == 10


def test_a_message_of_many_shards_counts_once(app: Celery, ledger: Ledger, services: Settings) -> None:
    names = submit_published(app, ledger, *(new_job(1) for _ in range(MAX_BATCH_SHARDS + 44)))
    relay = Relay(ledger, app)
    assert message_count(app) == 2
    assert relay.replace_lost_tickets() == 0

    lose_all(services)
    for job, shard in names[:-10]:
        ledger.attempts.claim(job, shard, worker="a", lease=LEASE)
    assert relay.replace_lost_tickets() == 10
    assert message_count(app) == 1
    assert sorted(flat(take_all(app))) == sorted(names[-10:])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whichever_tickets_are_lost_all_shards_are_run(app: Celery, ledger: Ledger, seed: int) -> None:
    names = submit_published(app, ledger, *train_jobs(20))
    chance = random.Random(seed)
    waiting = set(names)
    for _ in range(10):
        delivered = [each for each in flat(take_all(app)) if chance.random() < 0.5]
        waiting -= {
            (job, shard) for job, shard in delivered if ledger.attempts.claim(job, shard, worker="a", lease=LEASE)
        }
        pass_time(ledger)
        assert Relay(ledger, app).replace_lost_tickets() == len(waiting)
        assert message_count(app) == len(waiting)
    # Nothing is lost any more.
    for job, shard in flat(take_all(app)):
        assert ledger.attempts.claim(job, shard, worker="a", lease=LEASE)
        waiting.remove((job, shard))
    assert waiting == set()


def test_what_hides_behind_doubled_tickets_is_found(app: Celery, ledger: Ledger) -> None:
    doubled, hidden = train_jobs(2), train_jobs(1)
    submit_published(app, ledger, *hidden)
    take_all(app)
    names = submit_published(app, ledger, *doubled)
    publish(app, ledger, tickets_of(doubled))
    pass_time(ledger)
    relay = Relay(ledger, app)
    assert relay.replace_lost_tickets() == 1
    assert relay.replace_lost_tickets() == 0
    assert sorted(flat(take_all(app))) == sorted([*names * 2, (hidden[0].id, 0)])


def submit_in_turn(app: Celery, ledger: Ledger, count: int, priority: int = 4) -> list[Name]:
    """More messages than the relay looks at, published a minute apart, the first longest ago."""
    jobs = [new_job(1, kind="train", version=None, priority=priority) for _ in range(count)]
    names = submit_published(app, ledger, *jobs)
    with ledger.database.connection() as conn:
        for age, (job, _) in enumerate(reversed(names)):
            conn.execute(
                "UPDATE shards SET published_at = now() - make_interval(mins => %s) WHERE job_id = %s", [age + 1, job]
            )
    return names


def lose(settings: Settings, *names: Name) -> None:
    """Remove the messages of some shards from Redis."""
    with redis.Redis.from_url(settings.redis_url) as client:
        for key in client.keys("cpu*"):
            for raw in client.lrange(key, 0, -1):
                if parse_shard_ids(msgpack.unpackb(b64decode(json.loads(raw)["body"]))[0][0])[0] in names:
                    client.lrem(key, 1, raw)


def test_of_a_long_queue_a_loss_is_found_when_its_turn_has_come(
    app: Celery, ledger: Ledger, services: Settings
) -> None:
    names = submit_in_turn(app, ledger, MAX_PEEKED + 20)
    relay = Relay(ledger, app)
    assert relay.replace_lost_tickets() == 0
    lose(services, names[0], names[1], names[MAX_PEEKED + 10])
    assert relay.replace_lost_tickets() == 2
    assert relay.replace_lost_tickets() == 0
    assert message_count(app) == MAX_PEEKED + 19
    taken = flat(take_all(app))
    assert taken[-2:] == names[:2]
    assert relay.replace_lost_tickets() == MAX_PEEKED + 18  # all that was published long ago and is not there
    assert names[MAX_PEEKED + 10] in flat(take_all(app))


def test_a_loss_of_one_priority_does_not_hide_behind_a_long_queue_of_another(
    app: Celery, ledger: Ledger, services: Settings
) -> None:
    submit_in_turn(app, ledger, MAX_PEEKED + 20)
    urgent = submit_in_turn(app, ledger, 3, priority=9)
    relay = Relay(ledger, app)
    assert relay.replace_lost_tickets() == 0
    lose(services, urgent[2])
    assert relay.replace_lost_tickets() == 1
    assert relay.replace_lost_tickets() == 0


def test_a_message_that_was_published_again_does_not_make_others_look_lost(app: Celery, ledger: Ledger) -> None:
    """The first copy is next, and its shard says that it was published a moment ago."""
    names = submit_in_turn(app, ledger, MAX_PEEKED + 20)
    (first,) = tickets_of([new_job(1, kind="train", version=None)])
    publish(app, ledger, [replace(first, job_id=names[0][0])])
    assert Relay(ledger, app).replace_lost_tickets() == 0


def test_foreign_messages_hide_nothing_and_lead_to_nothing(app: Celery, ledger: Ledger, services: Settings) -> None:
    names = submit_in_turn(app, ledger, 3)
    lose(services, names[1])
    with redis.Redis.from_url(services.redis_url) as client:
        key = next(iter(client.keys("cpu*")))
        for raw in (
            b"",
            b"{}",
            b"[" * 5000,
            b'{"headers": {"id": 7}, "body": "x"}',
            b'{"headers": [], "body": "kJCQ"}',
        ):
            client.rpush(key, raw)
    relay = Relay(ledger, app)
    assert relay.replace_lost_tickets() == 1
    assert relay.replace_lost_tickets() == 0


def test_shards_that_were_lost_together_travel_alone(app: Celery, ledger: Ledger) -> None:
    """One of them may have ended their worker; it is not to use up the tries of the others."""
    names = submit_published(app, ledger, *(new_job(1) for _ in range(5)))
    assert [len(message) for message in take_all(app)] == [5]
    assert len(ledger.attempts.claim_many(names, worker="a", lease=LEASE)) == 5
    for job, shard in names:
        expire(ledger, job, shard)
    Relay(ledger, app).step()
    assert sorted(take_all(app)) == sorted([name] for name in names)


def test_messages_that_lead_to_nothing_are_removed_from_a_long_queue(
    ledger: Ledger, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upcoming, "MAX_MESSAGES", 4)
    names = submit_published(app, ledger, *train_jobs(8))
    relay = Relay(ledger, app)
    assert relay.remove_stale_messages() == 0
    for job, _ in names[:3]:
        ledger.control.cancel(job)
    assert relay.remove_stale_messages() == 3
    assert [name for message in take_all(app) for name in message] == names[3:]


def test_a_message_that_stands_for_others_is_not_stale(
    ledger: Ledger, app: Celery, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upcoming, "MAX_MESSAGES", 0)
    first, second = (new_job(1, batch_key="digits") for _ in range(2))
    ledger.submissions.submit([first])
    coalescer = Coalescer(app, services)
    coalescer.publish(Message(tuple(tickets_of([first]))))
    coalescer.close()
    ledger.control.cancel(first.id)
    # A worker that takes the message claims any shard with its batch key, such as those that were not published for it.
    submit_published(app, ledger, second)
    assert Relay(ledger, app).remove_stale_messages() == 0
    assert take_all(app) == [[(first.id, 0)], [(second.id, 0)]]
