"""Celery's consumer, which waits for Redis with one line in the log at the start of an outage and one at its end."""

from __future__ import annotations

import logging
import time

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown
from kombu import Connection  # type: ignore[attr-defined]

from longshore.broker.idle_connections import close_idle
from longshore.broker.outages import Outage
from longshore.broker.redis_errors import describe

log = logging.getLogger(__name__)

#: Seconds before another try, however long the outage: a worker that waits longer and longer, as Celery's own does,
#: begins up to half a minute after the return of Redis. The first try of an outage comes sooner: perhaps only a
#: connection was lost.
FIRST_RETRY_S, RETRY_INTERVAL_S = 0.1, 1.0


class TicketConsumer(Consumer):  # type: ignore[misc]
    """Takes tickets from Redis."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        self._outage = Outage("Redis", log)
        super().__init__(*args, **kwargs)

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect, trying again until it works."""

        def on_error(error: BaseException, interval: float) -> None:
            self._outage.began(describe(error))

        connected = conn.ensure_connection(  # type: ignore[no-untyped-call]
            on_error,
            interval_start=RETRY_INTERVAL_S,
            interval_step=0,
            interval_max=RETRY_INTERVAL_S,
            callback=maybe_shutdown,
        )
        self.first_connection_attempt = False
        return connected  # type: ignore[no-any-return]

    def on_connection_error_before_connected(self, error: BaseException) -> None:
        """Log and wait: the next try follows at once."""
        self._on_error(error)

    def on_connection_error_after_connected(self, error: BaseException) -> None:
        """Log and wait: Celery connects again, and goes on with what its children run."""
        self._on_error(error)

    def on_ready(self) -> None:
        """Take tickets."""
        super().on_ready()
        self._outage.ended()

    def _on_error(self, error: BaseException) -> None:
        first = not self._outage.lasts
        self._outage.began(describe(error))
        close_idle()
        time.sleep(FIRST_RETRY_S if first else RETRY_INTERVAL_S)
        maybe_shutdown()
