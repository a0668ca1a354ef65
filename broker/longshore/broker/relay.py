"""The relay: whatever happened to a ticket, a worker or a producer, what was submitted is run.

Run it with ``longshore relay``. Any number may run; an advisory lock lets one of them act, and when that one is gone
another takes over. Once a second, and at once when the ledger says that shards wait to be published, the leader

- counts attempts whose lease ran out as lost, so that their shards are queued again or given up;
- ends jobs that are past their deadline;
- makes jobs ready that waited for another which has succeeded, and ends those whose job before has failed;
- publishes shards nobody has published: the producer died in between, or an attempt was lost or handed back;
- compares the messages in Redis with the shards that wait, and publishes again what Redis has lost;
- at first and every hour, makes the partitions that the results of this week and the next ones will lie in.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from longshore.broker.app import make_app
from longshore.broker.logs import configure_logging
from longshore.broker.publishing import publish
from longshore.shared.errors import LongshoreError, ServiceUnavailable
from longshore.shared.ledger.database import Connection
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.statements.channels import TICKETS_CHANNEL
from longshore.shared.settings import load_settings

log = logging.getLogger("longshore.relay")

#: Seconds between two rounds when nothing calls for one earlier.
ROUND = 1.0
#: Seconds a new job is left to its producer, who is about to publish it.
PUBLISH_GRACE = 2.0
#: Seconds between two comparisons with Redis.
COMPARE_EVERY = 3.0
#: Seconds a published shard is left to the worker that has just taken its ticket.
CLAIM_GRACE = 5.0
#: Seconds between two looks at the partitions of results, and before trying again where one could not be made.
KEEP_EVERY, KEEP_AGAIN = 3600.0, 60.0
#: Seconds before trying again when Redis or Postgres cannot be reached, or another relay leads.
PAUSE = 1.0


class Relay:
    """One candidate for the lead.

    :param ledger: the ledger it looks after.
    :param app: where it publishes.
    """

    def __init__(self, ledger: Ledger, app: Celery) -> None:
        self._ledger = ledger
        self._app = app
        self._stopping = threading.Event()
        self._compared = 0.0
        self._keep_at = 0.0

    def stop(self) -> None:
        """Make :meth:`run` return within a round."""
        self._stopping.set()

    def run(self) -> None:
        """Wait for the lead, then act until :meth:`stop`. Outages are waited out."""
        while not self._stopping.is_set():
            try:
                with self._ledger.database.own_connection() as conn:
                    if self._ledger.maintenance.try_lead(conn):
                        log.info("leading")
                        self._lead(conn)
            except ServiceUnavailable as error:
                log.warning("%s; trying again", error)
            self._stopping.wait(PAUSE)

    def step(self) -> None:
        """One round."""
        upkeep = self._ledger.maintenance
        if lost := upkeep.expire_leases():
            log.warning("%d attempts were lost with their worker", lost)
        if overdue := upkeep.end_overdue():
            log.warning("%d jobs were ended past their deadline", overdue)
        if advanced := self._ledger.chains.advance():
            log.info("%d links of chains were made ready, or ended with the job before them", advanced)
        while tickets := upkeep.unpublished(grace=PUBLISH_GRACE):
            publish(self._app, self._ledger, tickets)
            log.info("published %d shards", len(tickets))
        if time.monotonic() - self._compared >= COMPARE_EVERY:
            self.replace_lost_tickets()
            self._compared = time.monotonic()
        if time.monotonic() >= self._keep_at:
            complete = self.keep_partitions()
            self._keep_at = time.monotonic() + (KEEP_EVERY if complete else KEEP_AGAIN)

    def keep_partitions(self) -> bool:
        """Make the partitions that will be needed. Returns whether all are there; results can be written anyway."""
        kept = self._ledger.partitions.keep()
        for name in kept.made:
            log.info("made partition %s", name)
        for name, reason in kept.left.items():
            log.warning("did not make partition %s: %s", name, reason)
        return not kept.left

    def replace_lost_tickets(self) -> int:
        """Publish again as many messages as Redis has too few of. Returns how many shards that were.

        A queue that holds at least as many messages as shards wait for has lost none, or hides it behind doubled
        ones: then the difference shows when those are used up. So nothing stays behind, and a queue cannot grow by
        more than was lost.
        """
        replaced = 0
        for queue, waiting in self._ledger.maintenance.count_waiting(grace=CLAIM_GRACE).items():
            missing = waiting - self._queued(queue)
            if missing > 0:
                tickets = self._ledger.maintenance.longest_waiting(queue, grace=CLAIM_GRACE, messages=missing)
                publish(self._app, self._ledger, tickets)
                log.warning("published %d shards again: their tickets are not in Redis", len(tickets))
                replaced += len(tickets)
        return replaced

    def _lead(self, conn: Connection) -> None:
        conn.execute(f"LISTEN {TICKETS_CHANNEL}")
        while not self._stopping.is_set():
            try:
                self.step()
            except ServiceUnavailable as error:
                log.warning("%s; trying again", error)
                self._stopping.wait(PAUSE)
            # Fails when the connection is gone, and with it the lead.
            for _ in conn.notifies(timeout=ROUND, stop_after=1):
                pass

    def _queued(self, queue: str) -> int:
        try:
            with self._app.connection_for_write() as connection:
                return int(self._app.amqp.queues[queue](connection.default_channel).queue_declare().message_count)
        except (OperationalError, RedisError, OSError) as error:
            raise ServiceUnavailable(f"Redis cannot be reached: {type(error).__name__}") from error


def main() -> int:
    """The process behind ``longshore relay``. SIGTERM and SIGINT end it."""
    configure_logging()
    try:
        settings = load_settings()
    except LongshoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    with Ledger(settings.database_url, "longshore relay", plan_anew=True) as ledger:
        relay = Relay(ledger, make_app(settings))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        relay.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
