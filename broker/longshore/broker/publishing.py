"""Publishing tickets to Redis, many in one round trip."""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery
from kombu.messaging import Producer

from longshore.broker.priorities import to_broker
from longshore.broker.redis_errors import redis_errors
from longshore.broker.tickets import Message, pack_messages, tickets_by_message
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Ticket

#: Messages in one round trip to Redis.
MAX_BATCH_MESSAGES = 500


def publish(app: Celery, ledger: Ledger, tickets: Sequence[Ticket]) -> int:
    """Publish tickets and mark them as published. The ledger has recorded the shards they name already.

    :returns: how many messages were published.
    :raises ServiceUnavailable: Redis or Postgres cannot be reached. Some tickets may have been published; the relay
        publishes the others, and duplicates do no harm.
    """
    messages = list(pack_messages(tickets))
    send(app, messages)
    fault_point("publish:sent")
    ledger.submissions.mark_published(tickets_by_message(messages))
    return len(messages)


def send(app: Celery, messages: Sequence[Message]) -> None:
    """Put messages into Redis whose tickets the ledger has marked as published.

    :raises ServiceUnavailable: Redis cannot be reached; some messages may have been put there.
    """
    with (
        redis_errors(),
        app.producer_pool.acquire(block=True) as producer,
        producer.batch(max_size=MAX_BATCH_MESSAGES),
    ):
        for message in messages:
            put(app, producer, message)
            fault_point("publish:put")


def put(app: Celery, producer: Producer, message: Message) -> None:
    """Put one message into Redis over the caller's connection."""
    task = app.amqp.as_task_v2(
        str(message.id),
        message.task_name,
        args=(message.shard_ids,) if message.coalescing_key is None else (message.shard_ids, message.coalescing_key),
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
