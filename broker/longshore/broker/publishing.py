"""Putting tickets into Redis, many to a round trip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from celery import Celery
from kombu.exceptions import BatchPublishError, OperationalError
from kombu.messaging import Producer
from redis.exceptions import RedisError

from longshore.broker.priorities import to_broker
from longshore.broker.tickets import Message, carried, group
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Ticket

#: Messages in one round trip to Redis.
BATCH = 500


def publish(app: Celery, ledger: Ledger, tickets: Sequence[Ticket]) -> int:
    """Publish tickets and mark them so; the work they name is safe in the ledger already.

    :returns: how many messages that made.
    :raises ServiceUnavailable: Redis or Postgres cannot be reached. Some tickets may have been published; the relay
        publishes the others, and doubled ones do no harm.
    """
    messages = list(group(tickets))
    send(app, messages)
    ledger.submissions.mark_published(carried(messages))
    return len(messages)


def send(app: Celery, messages: Sequence[Message]) -> None:
    """Put messages into Redis that the ledger knows of already.

    :raises ServiceUnavailable: Redis cannot be reached; some may have been put there.
    """
    with reaching_redis(), app.producer_pool.acquire(block=True) as producer, producer.batch(max_size=BATCH):
        for message in messages:
            put(app, producer, message)


def put(app: Celery, producer: Producer, message: Message) -> None:
    """Put one message into Redis, by a connection that the caller holds."""
    task = app.amqp.as_task_v2(
        str(message.id),
        message.task,
        args=(message.names,) if message.wake is None else (message.names, message.wake),
        argsrepr=message.label,
        kwargsrepr="",
        ignore_result=True,
    )
    producer.publish(  # type: ignore[no-untyped-call]
        task.body,
        exchange="",
        routing_key=message.tickets[0].queue,
        serializer="msgpack",
        headers=task.headers,
        priority=to_broker(message.tickets[0].priority),
        retry=False,
        **task.properties,
    )


@contextmanager
def reaching_redis() -> Iterator[None]:
    """:raises ServiceUnavailable: Redis cannot be reached."""
    try:
        yield
    except (BatchPublishError, OperationalError, RedisError, OSError) as error:
        raise ServiceUnavailable(f"Redis cannot be reached: {type(error).__name__}") from error
