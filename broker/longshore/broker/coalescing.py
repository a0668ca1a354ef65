"""Wake-ups: while a message for small shards with one batch key is on its way, later shards with that key need none.

A key in Redis says that a message is on its way and not yet taken:

    longshore:wake:{queue}:{priority}:{batch_key}    string, the id of the message; set if absent, expires after KEPT s

A producer commits its shard, then sets the key: only who has set it publishes a message. The worker that takes the
message removes the key before it claims. So a shard whose producer found the key was committed before the key was
removed, and the claim that follows sees it; a claim that had no room for all calls once more. Whatever is lost here
(the key, the message, Redis) costs time alone: the ledger holds these shards as unpublished, and the relay publishes
them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from celery import Celery
from redis import Redis

from longshore.broker.app import CONNECTING
from longshore.broker.publishing import put, reaching_redis
from longshore.broker.tickets import Message

#: Seconds after which a message that nobody has taken is not relied on any more.
KEPT: Final = 5
_PREFIX: Final = "longshore:wake:"


@dataclass(frozen=True)
class Wake:
    """What a message is relied on for: the text after the prefix of its key."""

    queue: str
    priority: int
    batch_key: str

    @classmethod
    def parse(cls, text: str) -> Wake:
        """:raises ValueError: it is not what ``str`` makes of one."""
        queue, priority, batch_key = text.split(":")
        return cls(queue, int(priority), batch_key)

    def __str__(self) -> str:
        return f"{self.queue}:{self.priority}:{self.batch_key}"


class Wakes:
    """The keys of one cluster. Threads may share one, and a forked process may go on with it."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        # Of its own: most calls find a message on its way, and taking a producer from the pool costs as much as asking.
        self._redis: Redis = Redis.from_url(app.conf.broker_url, socket_connect_timeout=CONNECTING)

    def call(self, message: Message) -> bool:
        """Publish a message, unless another for the same batch key, queue and priority is on its way.

        :param message: of shards that have one batch key, and are in the ledger.
        :returns: whether it was published.
        :raises ServiceUnavailable: Redis cannot be reached.
        """
        first = message.tickets[0]
        if message.batch_key is None:
            raise ValueError(f"the shards of message {message.id} have nothing in common")
        wake = str(Wake(first.queue, first.priority, message.batch_key))
        with reaching_redis():
            if not self._redis.set(_PREFIX + wake, str(message.id), nx=True, ex=KEPT):
                return False
            with self._app.producer_pool.acquire(block=True) as producer:
                put(self._app, producer, replace(message, wake=wake))
        return True

    def answer(self, wake: Wake) -> None:
        """Say that a message was taken: from here on, who commits a shard publishes again. Claim only after this.

        :raises ServiceUnavailable: Redis cannot be reached.
        """
        with reaching_redis():
            self._redis.delete(f"{_PREFIX}{wake}")

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()
