"""Putting tickets into Redis, many to a round trip."""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery
from kombu.exceptions import BatchPublishError, OperationalError
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
    try:
        with app.producer_pool.acquire(block=True) as producer, producer.batch(max_size=BATCH):
            for message in messages:
                task = app.amqp.as_task_v2(
                    str(message.id),
                    message.task,
                    args=(message.names,),
                    argsrepr=message.label,
                    kwargsrepr="",
                    ignore_result=True,
                )
                producer.publish(
                    task.body,
                    exchange="",
                    routing_key=message.tickets[0].queue,
                    serializer="msgpack",
                    headers=task.headers,
                    priority=to_broker(message.tickets[0].priority),
                    retry=False,
                    **task.properties,
                )
    except (BatchPublishError, OperationalError, RedisError, OSError) as error:
        raise ServiceUnavailable(f"Redis cannot be reached: {type(error).__name__}") from error
