"""Having workers run what is in the ledger: the tickets of shards, sent to Redis.

Whatever fails here costs time alone: the relay publishes what nobody has published, and what Redis has lost.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from longshore.broker.tickets import Message, pack_messages, tickets_by_message
from longshore.shared import forks
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

    from longshore.broker.circuit_breaker import CircuitBreaker
    from longshore.broker.coalescing import Coalescer
    from longshore.shared.ledger.records import Ticket

log = logging.getLogger(__name__)


class Publisher:
    """Publishes the shards of one client. It connects to Redis when there is something to publish. Threads may share
    one; a forked child makes connections of its own.
    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings
        # Made when they are first needed.
        self._making = threading.RLock()
        self._made_app: Celery | None = None
        self._made_coalescer: Coalescer | None = None
        self._made_breaker: CircuitBreaker | None = None
        forks.call_after_fork(self)

    def publish(self, tickets: Sequence[Ticket]) -> None:
        """Publish shards that the ledger holds as unpublished."""
        messages = list(pack_messages(tickets))
        try:
            self._ledger.submissions.mark_published(tickets_by_message(messages))
        except ServiceUnavailable as error:
            log.warning("%s; the jobs are safe, and the relay will queue them", error)
            return
        self.send(messages)

    def publish_coalesced(self, message: Message, made: AbstractSet[UUID]) -> None:
        """Have small shards run that the ledger holds as unpublished: the relay would do it too, a little later.

        :param made: the jobs that were submitted now; the others of the message have their tickets from before.
        """
        tickets = tuple(ticket for ticket in message.tickets if ticket.job_id in made)
        if not tickets:  # idempotency keys had made all of the jobs before
            return
        try:
            with self._redis.call():
                self._coalescer.publish(Message(tickets))
        except ServiceUnavailable as error:
            log.warning("%s; the jobs are safe, and the relay will queue them", error)

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages whose shards the ledger holds as published."""
        from longshore.broker.publishing import send

        try:
            with self._redis.call():
                send(self._app, messages)
        except ServiceUnavailable as error:
            log.warning("%s; the jobs are safe, and the relay will queue them", error)
            tickets = [ticket for message in messages for ticket in message.tickets]
            # Without Postgres, the relay finds that Redis lacks the messages.
            with suppress(ServiceUnavailable):
                self._ledger.attempts.give_back([(ticket.job_id, ticket.shard) for ticket in tickets])

    def connect(self) -> None:
        """Connect to Redis now. If it is away, nothing is raised: it is not needed to take requests."""
        with suppress(ServiceUnavailable), self._redis.call():
            self._coalescer.connect()

    def close(self) -> None:
        """Close the connections."""
        if self._made_coalescer is not None:
            self._made_coalescer.close()
        if self._made_app is not None:
            self._made_app.close()

    def forget_parent(self) -> None:
        """In a forked child: see :mod:`longshore.shared.forks`."""
        self._making = threading.RLock()
        forks.keep(self._made_coalescer)
        if self._made_app is not None:
            from longshore.broker.app import forget_parent

            forget_parent(self._made_app)
        self._made_app = self._made_coalescer = self._made_breaker = None

    @property
    def _app(self) -> Celery:
        with self._making:
            if self._made_app is None:
                from longshore.broker.app import make_app

                self._made_app = make_app(self._settings)
            return self._made_app

    @property
    def _redis(self) -> CircuitBreaker:
        with self._making:
            if self._made_breaker is None:
                from longshore.broker.circuit_breaker import CircuitBreaker

                self._made_breaker = CircuitBreaker()
            return self._made_breaker

    @property
    def _coalescer(self) -> Coalescer:
        with self._making:
            if self._made_coalescer is None:
                from longshore.broker.coalescing import Coalescer

                self._made_coalescer = Coalescer(self._app, self._settings)
            return self._made_coalescer
