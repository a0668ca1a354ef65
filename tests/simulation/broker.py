"""A simulated Redis, and the little of Celery's app that the publishing code and the relay use of a real one.

Messages are encoded by a real Celery app. Only the transport is simulated: it loses, doubles and reorders messages,
forgets everything, and refuses connections for a while.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from uuid import UUID

import msgpack
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError

from longshore.broker.app import make_app
from longshore.broker.coalescing import Coalescer
from longshore.broker.coalescing_key import CoalescingKey
from longshore.broker.tickets import parse_shard_ids
from longshore.shared.settings import Settings


@dataclass(frozen=True)
class Delivery:
    """A message in a queue."""

    id: UUID
    queue: str
    #: 0 is the most urgent.
    priority: int
    names: tuple[tuple[UUID, int], ...]
    key: CoalescingKey | None
    #: As it lies in Redis.
    raw: bytes


@dataclass
class SimulatedRedis:
    """Queues and coalescing keys.

    :param clock: virtual seconds.
    """

    clock: Callable[[], float]
    queue: list[Delivery] = field(default_factory=list)
    keys: dict[str, float] = field(default_factory=dict)
    #: Every message that it has ever taken.
    accepted: set[UUID] = field(default_factory=set)
    down_until: float = 0.0

    def check(self) -> None:
        """:raises OperationalError: it is down."""
        if self.clock() < self.down_until:
            raise OperationalError("simulated: connection refused")

    def put(self, delivery: Delivery) -> None:
        """Take a message."""
        self.check()
        self.accepted.add(delivery.id)
        self.queue.append(delivery)

    def take(self, queues: tuple[str, ...]) -> Delivery | None:
        """The most urgent and oldest message of some queues; ``None`` if there is none or Redis is down."""
        found = [each for each in self.queue if each.queue in queues]
        if not found or self.clock() < self.down_until:
            return None
        first = min(found, key=lambda each: each.priority)
        self.queue.remove(first)
        return first

    def peek(self, queue: str, priority: int, count: int) -> list[bytes]:
        """The oldest messages of a queue and priority."""
        self.check()
        return [each.raw for each in self.queue if (each.queue, each.priority) == (queue, priority)][:count]

    def length(self, queue: str, priority: int) -> int:
        """How many messages of a queue and priority there are."""
        self.check()
        return sum((each.queue, each.priority) == (queue, priority) for each in self.queue)

    def remove(self, queue: str, priority: int, messages: Sequence[bytes]) -> None:
        """Remove messages, each once if it is still there."""
        self.check()
        for raw in messages:
            found = [each for each in self.queue if (each.queue, each.priority, each.raw) == (queue, priority, raw)]
            if found:
                self.queue.remove(found[0])

    # What the coalescer calls on its client.
    def set(self, key: str, _: str, *, nx: bool, ex: int) -> bool:
        """Set a key unless it is set."""
        assert nx
        if self.clock() < self.down_until:
            raise RedisConnectionError("simulated: connection refused")
        if self.keys.get(key, -1.0) > self.clock():
            return False
        self.keys[key] = self.clock() + ex
        return True

    def delete(self, key: str) -> None:
        """Delete a key."""
        if self.clock() < self.down_until:
            raise RedisConnectionError("simulated: connection refused")
        self.keys.pop(key, None)

    def disturb(self, random: Random) -> str:
        """Do to the messages what only an unreliable Redis does; returns what."""
        what = random.choice(["lose one", "lose half", "lose all", "double", "reorder", "go down", "lose the keys"])
        if what == "lose one" and self.queue:
            self.queue.pop(random.randrange(len(self.queue)))
        elif what == "lose half":
            self.queue = [each for each in self.queue if random.random() < 0.5]
        elif what == "lose all":
            self.queue.clear()
            self.keys.clear()
        elif what == "double":
            self.queue += [each for each in self.queue if random.random() < 0.5]
        elif what == "reorder":
            random.shuffle(self.queue)
        elif what == "go down":
            self.down_until = self.clock() + random.choice([0.5, 2.0, 5.0])
        elif what == "lose the keys":
            self.keys.clear()
        return what


class SimulatedApp:
    """In place of the Celery app.

    :param encoder: a real one, which encodes the messages.
    """

    def __init__(self, redis: SimulatedRedis, encoder: SimpleNamespace) -> None:
        self._redis = redis
        self.producer_pool = SimpleNamespace(acquire=self._acquire)
        self.amqp = encoder.amqp

    @contextmanager
    def connection_for_write(self) -> Iterator[SimpleNamespace]:
        """A connection with which the queues can be read."""
        yield SimpleNamespace(default_channel=self._redis)

    @contextmanager
    def _acquire(self, *, block: bool) -> Iterator[SimpleNamespace]:
        assert block
        yield SimpleNamespace(batch=self._batch, publish=self._publish)

    @contextmanager
    def _batch(self, *, max_size: int) -> Iterator[None]:
        assert max_size > 0
        self._redis.check()
        yield

    def _publish(
        self,
        body: tuple[list[object], dict[str, object], dict[str, object]],
        *,
        routing_key: str,
        priority: int,
        headers: dict[str, object],
        **_: object,
    ) -> None:
        arguments = body[0]
        names = tuple(parse_shard_ids(arguments[0]))  # type: ignore[arg-type]
        key = CoalescingKey.parse(str(arguments[1])) if len(arguments) > 1 else None
        message = {"headers": headers, "body": b64encode(msgpack.packb(body)).decode()}
        raw = json.dumps(message).encode()
        self._redis.put(Delivery(UUID(str(headers["id"])), routing_key, priority, names, key, raw))


class SimulatedCoalescer(Coalescer):
    """The real one, with the simulated Redis."""

    def __init__(self, app: SimulatedApp, redis: SimulatedRedis) -> None:
        self._app = app
        self._prefix = ""
        self._redis = redis  # type: ignore[assignment]


def make_encoder(settings: Settings) -> SimpleNamespace:
    """The Celery app that encodes messages. It never connects."""
    return make_app(settings)  # type: ignore[no-any-return]
