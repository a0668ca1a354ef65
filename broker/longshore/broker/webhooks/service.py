"""Delivers events while this relay leads, in threads of its own: a round of the relay waits for none of them.

One thread claims deliveries and records what became of them, on one connection to Postgres. Others send, each one
message at a time. Endpoints whose last try has failed have threads of their own, so that those that do not answer take
none from those that do.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from longshore.broker.outages import Outage
from longshore.broker.webhooks.send import Sender
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger.database import Database
from longshore.shared.ledger.gateway.webhook_deliveries import ClaimedDelivery, EndedTry, TryOutcome, WebhookDeliveries
from longshore.shared.ledger.postgres.connection import LedgerConnection

logger = logging.getLogger(__name__)

#: Seconds between two looks for new deliveries, unless one has ended earlier.
POLL_INTERVAL_S: Final = 0.5
#: Seconds after which a delivery that was claimed and not recorded is sent again: more than a try takes, even with a
#: resolver that does not answer.
LEASE_S: Final = 120.0
#: Seconds before trying again if Postgres cannot be reached.
RETRY_INTERVAL_S: Final = 1.0
#: Seconds between two removals of old events.
REMOVE_INTERVAL_S: Final = 3600.0
#: Seconds that tries have to end when the relay stops. What has not ended is sent again when its claim has run out.
STOP_TIMEOUT_S: Final = 2.0
#: Deliveries of an endpoint that are counted as waiting, at most, and seconds between two counts.
MAX_COUNTED: Final = 10_000
COUNT_INTERVAL_S: Final = 5.0


@dataclass(frozen=True)
class Lane:
    """Endpoints that share threads.

    :param failing: whether their last try has failed.
    :param threads: messages that are sent at a time.
    :param each: those to one endpoint.
    """

    failing: bool
    threads: int
    each: int


LANES: Final = (Lane(failing=False, threads=64, each=4), Lane(failing=True, threads=32, each=1))


class WebhookService:
    """Delivers events while it is entered.

    :param database: it opens one connection.
    :param sender: sends one message.
    """

    def __init__(self, database: Database, sender: Sender) -> None:
        self._database = database
        self._sender = sender
        self._outage = Outage("Postgres", logger)
        self._results: queue.SimpleQueue[tuple[Lane, EndedTry]] = queue.SimpleQueue()
        #: Tries that have ended, until they are recorded.
        self._ended: list[EndedTry] = []
        #: Of each lane, how many messages are being sent to an endpoint.
        self._busy: Mapping[Lane, Counter[str]] = {lane: Counter() for lane in LANES}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._remove_at = self._count_at = -math.inf
        self._tries: dict[str, int] = {outcome.value: 0 for outcome in TryOutcome}
        #: Deliveries that had not ended when they were last counted, up to a limit.
        self.pending = 0

    @property
    def tries(self) -> Mapping[str, int]:
        """How many tries of this process have ended in each way."""
        return self._tries

    def __enter__(self) -> WebhookService:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._stopping,), name="webhooks", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S + POLL_INTERVAL_S)
        self.pending = 0

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                with self._database.own_connection() as conn:
                    self._outage.ended()
                    while not stopping.is_set():
                        self._record(conn)
                        self._claim(conn)
                        self._maintain(conn)
                        self._wait(POLL_INTERVAL_S)
                    self._finish(conn)
            except ServiceUnavailable as error:
                self._outage.began(str(error))
                stopping.wait(RETRY_INTERVAL_S)
            except Exception:
                logger.exception("webhooks are not delivered; trying again")
                stopping.wait(RETRY_INTERVAL_S)

    def _claim(self, conn: LedgerConnection) -> None:
        for lane, busy in self._busy.items():
            free = lane.threads - busy.total()
            if free <= 0:
                continue
            claimed = WebhookDeliveries.claim(
                conn, failing=lane.failing, each=lane.each, busy=+busy, limit=free, lease_s=LEASE_S
            )
            fault_point("webhooks:claimed")
            for delivery in claimed:
                threading.Thread(target=self._send, args=(lane, delivery), name="webhook", daemon=True).start()
                busy[delivery.endpoint_id] += 1

    def _send(self, lane: Lane, delivery: ClaimedDelivery) -> None:
        ended = self._sender.send(delivery)
        fault_point("webhooks:sent")
        self._results.put((lane, ended))

    def _wait(self, seconds: float) -> None:
        """Until a try has ended; takes all that have."""
        try:
            found = self._results.get(timeout=seconds)
            while True:
                lane, ended = found
                self._busy[lane][ended.delivery.endpoint_id] -= 1
                self._ended.append(ended)
                found = self._results.get_nowait()
        except queue.Empty:
            pass

    def _record(self, conn: LedgerConnection) -> None:
        if not self._ended:
            return
        WebhookDeliveries.record(conn, self._ended)
        fault_point("webhooks:recorded")
        for ended in self._ended:
            self._tries[ended.outcome.value] += 1
            if ended.outcome is TryOutcome.GONE:
                logger.warning("webhook endpoint %s is gone, and gets nothing more", ended.delivery.endpoint_id)
        self._ended.clear()

    def _maintain(self, conn: LedgerConnection) -> None:
        now = time.monotonic()
        if now >= self._remove_at:
            if removed := WebhookDeliveries.remove_old(conn):
                logger.info("removed %d events of webhooks", removed)
            self._remove_at = now + REMOVE_INTERVAL_S
        if now >= self._count_at:
            self.pending = WebhookDeliveries.count_pending(conn, limit=MAX_COUNTED)
            self._count_at = now + COUNT_INTERVAL_S

    def _finish(self, conn: LedgerConnection) -> None:
        """Record what ends within a moment."""
        end = time.monotonic() + STOP_TIMEOUT_S
        while any(busy.total() for busy in self._busy.values()) and (left := end - time.monotonic()) > 0:
            self._wait(left)
        self._record(conn)
