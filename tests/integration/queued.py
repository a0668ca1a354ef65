"""Looking into the queues, and making what happens to them happen now."""

from __future__ import annotations

from uuid import UUID

import redis
from celery import Celery

from longshore.broker.publishing import publish
from longshore.broker.tickets import parse_shard_ids
from longshore.shared.ledger.jobs.submission import tickets_of
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import NewJob
from longshore.shared.settings import Settings
from tests.integration.support import new_job

#: A shard, by its job's id and its index.
Name = tuple[UUID, int]


def message_count(app: Celery, queue: str = "cpu") -> int:
    with app.connection_for_read() as connection:
        return int(app.amqp.queues[queue](connection.default_channel).queue_declare().message_count)


def take_all(app: Celery, queue: str = "cpu") -> list[list[Name]]:
    """Take every message out of a queue; what each names."""
    found = []
    with app.connection_for_read() as connection:
        bound = app.amqp.queues[queue](connection.default_channel)
        while (message := bound.get(no_ack=True, accept=["msgpack"])) is not None:
            found.append(parse_shard_ids(message.payload[0][0]))
    return found


def lose_all(settings: Settings) -> None:
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushall()


def pass_time(ledger: Ledger) -> None:
    """Make everything one hour older, so that no grace is left."""
    with ledger.database.connection() as conn:
        conn.execute("UPDATE jobs SET created_at = created_at - interval '1 hour'")
        conn.execute("UPDATE shards SET published_at = published_at - interval '1 hour'")


def submit_published(app: Celery, ledger: Ledger, *jobs: NewJob) -> list[Name]:
    """Submit and publish jobs, an hour ago; returns their shards."""
    ledger.submissions.submit(jobs)
    publish(app, ledger, tickets_of(jobs))
    pass_time(ledger)
    return [(job.id, index) for job in jobs for index in range(len(job.shards))]


def train_jobs(count: int) -> list[NewJob]:
    """Jobs of one shard, each of which has a message of its own."""
    return [new_job(1, kind="train", version=None) for _ in range(count)]


def flat(messages: list[list[Name]]) -> list[Name]:
    return [name for message in messages for name in message]
