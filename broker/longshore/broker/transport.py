"""kombu's Redis transport for publishing, with one Redis client per channel.

kombu makes a client for each message that it publishes, and redis-py's constructor takes about half a millisecond: as
long as everything else in publishing. Consumers and Flower use kombu's own transport, which they look up by name.
"""

from __future__ import annotations

from celery.app.amqp import AMQP as CeleryAMQP
from kombu import pools
from kombu.transport import redis as kombu_redis
from redis import Redis


class Channel(kombu_redis.Channel):
    """Reuses the client that it publishes with while its connection pool stays the same."""

    _publish_client: Redis | None = None

    def _create_client(self, asynchronous: bool = False) -> Redis:
        if asynchronous:
            client: Redis = super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]
            return client
        if self._publish_client is None or self._publish_client.connection_pool is not self.pool:
            self._publish_client = super()._create_client()  # type: ignore[no-untyped-call]
        return self._publish_client


class Transport(kombu_redis.Transport):
    """kombu's Redis transport with :class:`Channel`."""

    Channel = Channel


class AMQP(CeleryAMQP):  # type: ignore[misc]
    """Celery's AMQP layer, publishing over :class:`Transport`."""

    #: Celery resets it after a fork.
    _producer_pool: pools.ProducerPool | None = None

    @property
    def producer_pool(self) -> pools.ProducerPool:
        """The pool of producers, as in Celery, over :class:`Transport`."""
        pool: pools.ProducerPool | None = self._producer_pool
        if pool is None:
            pool = pools.producers[self.app.connection_for_write(transport=Transport)]
            pool.limit = self.app.pool.limit
            self._producer_pool = pool
        return pool
