"""kombu's Redis transport, which checks what it receives, and reuses the client that it publishes with.

Every connection of Celery uses it: those of workers, producers, the relay and Flower. kombu makes a client for each
message that it publishes, and redis-py's constructor takes about half a millisecond: as long as everything else in
publishing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from queue import Empty

from celery.app.amqp import AMQP as CeleryAMQP
from kombu import Connection as KombuConnection  # type: ignore[attr-defined]
from kombu.connection import ConnectionPool as KombuConnectionPool
from kombu.connection import PooledConnection as KombuPooledConnection
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from redis import ConnectionPool as RedisConnectionPool
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ResponseError

from longshore.broker.idle_connections import close_idle, register
from longshore.broker.inbound.control import RemoteControl, check_control
from longshore.broker.inbound.dropped import DROPPED
from longshore.broker.inbound.malformed import Malformed
from longshore.broker.inbound.tickets import check_ticket
from longshore.broker.inbound.unacked import check_unacked
from longshore.broker.key_types import remove_wrong_types
from longshore.broker.queues import CONTROL_EXCHANGE, QUEUES
from longshore.broker.redis_errors import describe, is_wrong_type

log = logging.getLogger(__name__)


class QoS(kombu_redis.QoS):
    """Puts unacknowledged tickets back into their queue, unless somebody has made something else of them."""

    def append(self, message: object, delivery_tag: str) -> None:
        try:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            # The ticket is lost, and the relay publishes it again.
            self.channel.repair(error)
            raise

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except self.channel.connection_errors as error:
            # A worker holds one message at a time: with one that stays unacknowledged here, it would take no other.
            # Redis delivers this one again after the visibility timeout, and it leads to nothing.
            log.warning("%s; a message that is done may come again, which changes nothing", describe(error))
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
            self.channel.drop_connections()

    def restore_visible(self, start: int = 0, num: int | None = 10, interval: int = 10) -> None:
        try:
            super().restore_visible(start=start, num=num, interval=interval)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            self.channel.repair(error)

    def restore_by_tag(self, tag: str, client: Redis | None = None, leftmost: bool = False) -> None:
        def restore(pipe: Pipeline) -> None:
            stored = pipe.hget(self.unacked_key, tag)
            pipe.multi()
            self._remove_from_indices(tag, pipe)  # type: ignore[no-untyped-call]
            if stored is None:
                return
            try:
                queue, message = check_unacked(stored)
            except Malformed as error:
                DROPPED.add("the unacknowledged messages", str(error))
                return
            priority = self.channel._get_message_priority(message, reverse=False)
            push = pipe.lpush if leftmost else pipe.rpush
            push(self.channel._q_for_pri(queue, priority), json.dumps(message))

        with self.channel.conn_or_acquire(client) as connected:
            connected.transaction(restore, self.unacked_key)


class CheckedChannel(kombu_redis.Channel):
    """Drops what is no ticket and no question before anything of kombu or Celery parses it."""

    QoS = QoS
    from_transport_options = (  # type: ignore[assignment]
        *kombu_redis.Channel.from_transport_options,
        "remote_control",
    )
    #: Which remote-control messages are obeyed.
    remote_control: str = RemoteControl.INSPECT
    #: The client that messages are published with, while its connection pool stays the same.
    _publish_client: Redis | None = None

    def _create_client(self, asynchronous: bool = False) -> Redis:
        if asynchronous:
            client: Redis = super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]
            return client
        if self._publish_client is None or self._publish_client.connection_pool is not self.pool:
            self._publish_client = super()._create_client()  # type: ignore[no-untyped-call]
        return self._publish_client

    def _get_pool(self, asynchronous: bool = False) -> RedisConnectionPool:
        pool: RedisConnectionPool = super()._get_pool(asynchronous=asynchronous)  # type: ignore[no-untyped-call]
        return pool if asynchronous else register(pool)

    def _on_connection_disconnect(self, connection: object) -> None:
        super()._on_connection_disconnect(connection)  # type: ignore[no-untyped-call]
        # kombu has closed a connection that was silent, or the worker stops.
        close_idle()

    def drop_connections(self) -> None:
        """Close the connections of this worker, also those that wait for messages: one of them was silent, and the
        others probably are too. kombu opens others.
        """
        for channel in list(self.connection.channels or ()):
            if channel._async_pool is not None:
                channel._async_pool.disconnect()
        close_idle()

    def _brpop_read(self, **options: object) -> bool:
        # As in kombu, but for the check between Redis and the parsing.
        try:
            try:
                popped = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            except ResponseError as error:
                self.repair(error)
                raise
            if not popped:
                raise Empty
            key, item = popped
            queue = _text(key).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            try:
                message = check_ticket(item, queue) if queue in QUEUES else json.loads(item)
            except Malformed as error:
                DROPPED.add(f"queue {queue}", str(error))
            else:
                self.connection._deliver(message, queue)
            return True
        finally:
            self._in_poll = False
            self._flush_brpop_reauth()  # type: ignore[no-untyped-call]

    def _handle_message(self, client: object, response: list[object]) -> dict[str, object]:
        payload: dict[str, object] = super()._handle_message(client, response)  # type: ignore[no-untyped-call]
        channel = _text(payload["channel"])
        exchange = channel.partition(".")[2] if channel.startswith("/") else channel
        if exchange.split("/", 1)[0] == CONTROL_EXCHANGE and _text(payload["type"]).endswith("message"):
            try:
                payload["data"] = json.dumps(check_control(payload["data"], RemoteControl(self.remote_control)))
            except Malformed as error:
                DROPPED.add("the remote control", str(error))
                payload["data"] = None  # kombu passes over it
        return payload

    def peek(self, queue: str, priority: int, count: int) -> list[bytes]:
        """The messages that workers take next, in this order, without taking them.

        :param priority: the broker's.
        :param count: the most messages.
        """
        with self.conn_or_acquire() as client:
            messages: list[bytes] = client.lrange(self._key(queue, priority), -count, -1)
        return messages[::-1]

    def length(self, queue: str, priority: int) -> int:
        """How many messages wait.

        :param priority: the broker's.
        """
        with self.conn_or_acquire() as client:
            # kombu adds its prefix to the key of this command.
            return int(client.llen(self._q_for_pri(queue, priority)))  # type: ignore[no-untyped-call]

    def remove(self, queue: str, priority: int, messages: Sequence[bytes]) -> None:
        """Remove messages that :meth:`peek` has returned, unless a worker has taken them since.

        :param priority: the broker's.
        """
        key = self._key(queue, priority)
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipeline:
            for message in messages:
                pipeline.lrem(key, -1, message)  # from the end that workers take from
            pipeline.execute()

    def _key(self, queue: str, priority: int) -> str:
        # kombu adds its prefix to the keys of some commands, and not to those of the ones above.
        name = self._q_for_pri(queue, priority)  # type: ignore[no-untyped-call]
        return f"{self.global_keyprefix}{name}"

    def repair(self, error: ResponseError) -> None:
        """If somebody has put a value of another type in the place of a queue, remove it: nothing else would."""
        if is_wrong_type(error):
            with self.conn_or_acquire() as client:
                for key in remove_wrong_types(client, self.global_keyprefix):
                    DROPPED.add(f"key {key}", "a value of another type")


class CheckedSentinelChannel(CheckedChannel, kombu_redis.SentinelChannel):
    """:class:`CheckedChannel` for the Redis that Sentinel names."""

    from_transport_options = (*kombu_redis.SentinelChannel.from_transport_options, "remote_control")  # type: ignore[assignment]


class Transport(kombu_redis.Transport):
    """kombu's Redis transport with :class:`CheckedChannel`."""

    Channel = CheckedChannel


class SentinelTransport(kombu_redis.SentinelTransport):
    """kombu's Sentinel transport with :class:`CheckedSentinelChannel`."""

    Channel = CheckedSentinelChannel


class Connection(KombuConnection):
    """A connection over :class:`Transport`, whatever the scheme of its URL."""

    def get_transport_cls(self) -> type[kombu_redis.Transport]:
        return SentinelTransport if self.transport_cls == "sentinel" else Transport

    def info(self) -> dict[str, object]:
        """What a worker tells a monitor about its connection: without the options, which can contain the password of
        a Sentinel, and numbers as keys that MessagePack does not decode.
        """
        found: dict[str, object] = super().info()  # type: ignore[no-untyped-call]
        return {**found, "transport_options": {}}

    def Pool(self, limit: int | None = None, **options: object) -> ConnectionPool:
        """A pool of connections like this one: kombu's own would go over kombu's transport."""
        return ConnectionPool(self, limit, **options)  # type: ignore[no-untyped-call]


class PooledConnection(Connection, KombuPooledConnection):
    """A :class:`Connection` of a :class:`ConnectionPool`."""


class ConnectionPool(KombuConnectionPool):
    """A pool of :class:`PooledConnection`."""

    def new(self) -> PooledConnection:
        return PooledConnection(self, **dict(self.connection._info(resolve=False)))  # type: ignore[no-untyped-call]


class AMQP(CeleryAMQP):  # type: ignore[misc]
    """Celery's AMQP layer over :class:`Transport`."""

    Connection = Connection
    BrokerConnection = Connection


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
