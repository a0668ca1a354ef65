"""Coalescing: a small shard whose batch key has a message in the queue needs no message of its own.

A key in Redis says that a message is in the queue and no worker has taken it yet:

    longshore:coalesce:{queue}:{priority}:{batch_key}    string, the message's id; set if absent, expires in KEY_TTL_S

A producer commits its shard and then sets the key; only the producer that has set it publishes a message. The worker
that takes the message deletes the key before it claims. A producer that saw the key committed its shard before the key
was deleted, so the claim that follows sees the shard; a claim without room for all shards publishes once more. Losing
the key, the message or all of Redis costs only time: the ledger records these shards as unpublished, and the relay
publishes them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from celery import Celery

from longshore.broker.coalescing_key import CoalescingKey
from longshore.broker.publishing import put
from longshore.broker.redis_address import parse_redis_url
from longshore.broker.redis_errors import redis_errors
from longshore.broker.tickets import Message
from longshore.shared.settings import Settings

#: Seconds until a message that no worker has taken no longer stands for others.
KEY_TTL_S: Final = 5
_PREFIX: Final = "longshore:coalesce:"


class Coalescer:
    """The coalescing keys of one cluster. Safe to share between threads, and usable after a fork."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        address = parse_redis_url(settings.redis_url)
        self._prefix = address.prefix + _PREFIX
        # A client of its own: most publishes find the key set, and taking a producer from Celery's pool costs as much
        # as asking Redis.
        self._redis = address.client()

    def publish(self, message: Message) -> bool:
        """Publish a message, unless one with the same batch key, queue and priority is in the queue already.

        :param message: its shards are in the ledger and have one batch key.
        :returns: whether it was published.
        :raises ValueError: the shards have no batch key in common.
        :raises ServiceUnavailable: Redis cannot be reached.
        """
        first = message.tickets[0]
        if message.batch_key is None:
            raise ValueError(f"the shards of message {message.id} have no batch key in common")
        key = str(CoalescingKey(first.queue, first.priority, message.batch_key))
        with redis_errors():
            if not self._redis.set(self._prefix + key, str(message.id), nx=True, ex=KEY_TTL_S):
                return False
            with self._app.producer_pool.acquire(block=True) as producer:
                put(self._app, producer, replace(message, coalescing_key=key))
        return True

    def release(self, key: CoalescingKey) -> None:
        """Delete the key of a message that was taken, so that later shards publish again. Claim only after this.

        :raises ServiceUnavailable: Redis cannot be reached.
        """
        with redis_errors():
            self._redis.delete(f"{self._prefix}{key}")

    def connect(self) -> None:
        """Connect now, and not with the first message.

        :raises ServiceUnavailable: Redis cannot be reached.
        """
        with redis_errors(), self._app.producer_pool.acquire(block=True) as producer:
            self._redis.ping()
            producer.connection.ensure_connection(max_retries=1)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
