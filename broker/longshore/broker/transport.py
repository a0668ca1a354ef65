"""kombu's Redis transport for putting messages, with one client a channel.

kombu makes a client for each message that it puts, and redis-py's constructor takes about half a millisecond: as long
as all the rest of publishing. Consumers and Flower use kombu's own, which they know by its name.
"""

from __future__ import annotations

from celery.app.amqp import AMQP as CeleryAMQP
from kombu import pools
from kombu.transport import redis as kombu_redis
from redis import Redis


class Channel(kombu_redis.Channel):
    """Keeps the client that it puts messages with, as long as its connections are the same."""

    _kept: Redis | None = None

    def _create_client(self, asynchronous: bool = False) -> Redis:
        if asynchronous:
            made: Redis = super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]
            return made
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[no-untyped-call]
        return self._kept


class Transport(kombu_redis.Transport):
    """Makes such channels."""

    Channel = Channel


class AMQP(CeleryAMQP):  # type: ignore[misc]
    """What an app puts messages with."""

    #: Forgotten by Celery after a fork.
    _producer_pool: pools.ProducerPool | None = None

    @property
    def producer_pool(self) -> pools.ProducerPool:
        """As Celery has it, over this transport."""
        kept: pools.ProducerPool | None = self._producer_pool
        if kept is None:
            kept = pools.producers[self.app.connection_for_write(transport=Transport)]
            kept.limit = self.app.pool.limit
            self._producer_pool = kept
        return kept
