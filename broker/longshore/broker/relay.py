"""The relay: it makes sure that submitted work runs, whatever happens to a ticket, a worker or a producer.

Run it with ``longshore relay``. Any number may run; an advisory lock makes one of them the leader, and another takes
over when the leader is gone, or has not finished a round for some time. Once a second, and at once when the ledger
notifies it of unpublished shards, the leader

- notices if the clock of Postgres was set, and lets no shard wait for it, nor any lease end by it;
- marks attempts whose lease has expired as lost, so that their shards are queued again or fail;
- ends jobs that are past their deadline;
- queues jobs whose upstream job has succeeded, and ends those whose upstream job has failed;
- publishes unpublished shards: their producer died after submitting, or an attempt was lost or handed back and its
  pause is over;
- compares the next messages in Redis with the shards that wait, and publishes again what Redis has lost;
- removes messages from long queues that name only shards which wait no more;
- at the start and every hour, makes the partitions for the results of this week and the next ones;
- every minute, removes uploaded files, and parts of uploads, that have expired;
- delivers the events of webhooks, in threads of their own (:mod:`longshore.broker.webhooks`).
"""

from __future__ import annotations

import logging
import math
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from celery import Celery

from longshore.broker.app import make_app
from longshore.broker.logs import configure_logging
from longshore.broker.monitoring.address import metrics_address
from longshore.broker.monitoring.server import MetricsServer
from longshore.broker.outages import Outage
from longshore.broker.publishing import publish
from longshore.broker.queues import QUEUES
from longshore.broker.redis_address import RedisAddress, parse_redis_url
from longshore.broker.redis_errors import RedisUnavailable
from longshore.broker.sharing import OtherCluster
from longshore.broker.upcoming import peek, remove_stale
from longshore.broker.webhooks.send import Sender
from longshore.broker.webhooks.service import WebhookService
from longshore.broker.webhooks.settings import load_webhook_settings
from longshore.shared.errors import LongshoreError, ServiceUnavailable
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.postgres.connection import LedgerConnection
from longshore.shared.ledger.server_clock import ServerClock
from longshore.shared.ledger.statements.clock import MIN_STEP_S
from longshore.shared.settings import Process, load_settings
from longshore.shared.signal_event import SignalEvent

logger = logging.getLogger(__name__)

#: Seconds between two rounds, unless a notification starts one earlier.
ROUND_INTERVAL_S = 1.0
#: Seconds in which the leader has to finish a round, or at least one of its steps; another relay leads then.
LEAD_TIMEOUT_S = 20.0
#: Seconds that the producer of a new job has to publish it.
PUBLISH_GRACE_S = 2.0
#: Seconds by which a round begins after the time of the shard that it is for.
DUE_MARGIN_S = 0.01
#: Seconds between two comparisons with Redis.
COMPARE_INTERVAL_S = 3.0
#: Batches of unpublished shards that one round publishes. More wait for the next round, after leases and deadlines.
MAX_PUBLISHED_BATCHES = 4
#: Seconds that a worker has to claim a shard after taking its ticket.
CLAIM_GRACE_S = 5.0
#: Seconds between two checks of the partitions of results.
PARTITION_INTERVAL_S = 3600.0
#: Seconds until the next check if a partition could not be made.
PARTITION_RETRY_S = 60.0
#: Seconds between two removals of files that have expired.
FILE_INTERVAL_S = 60.0
#: Seconds before trying again if Redis or Postgres cannot be reached, or another relay leads.
RETRY_INTERVAL_S = 1.0
#: Leases of which each round looks whether they were granted in the future: workers have some attempts each.
MAX_LEASES_LOOKED_AT = 200


class Relay:
    """One candidate for the lead.

    :param ledger: the ledger of its cluster.
    :param app: the Celery app it publishes with.
    :param address: of Redis, to notice another cluster there; ``None`` to look for none.
    :param webhooks: delivers events while this relay leads; ``None`` to deliver none.
    :param clock: seconds that pass as on a clock that nobody sets.
    """

    def __init__(
        self,
        ledger: Ledger,
        app: Celery,
        address: RedisAddress | None = None,
        *,
        webhooks: WebhookService | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._app = app
        self._clock = clock
        self._webhooks = webhooks
        self._address = address
        self._others: OtherCluster | None = None
        self._shared = False
        self._outage = Outage("Redis", logger)
        self._postgres_outage = Outage("Postgres", logger)
        self._stopping = SignalEvent()
        self._server_clock = ServerClock(ledger.database, clock)
        #: The step of Postgres' clock since this relay last mended one, or since it began, in seconds.
        self._clock_step = 0.0
        #: Whether there can be times in the future.
        self._future_left = True
        self._compared_at = -math.inf
        self._partitions_due_at = -math.inf
        self._files_due_at = -math.inf
        self._round_at = clock()
        #: How many tries to deliver an event of a webhook have ended in each way.
        self.webhook_tries: Mapping[str, int] = {} if webhooks is None else webhooks.tries
        #: Whether this relay leads now.
        self.leads = False
        #: Attempts that this relay has counted as lost because their lease had run out.
        self.attempts_lost = 0

    @property
    def webhooks_pending(self) -> int:
        """Deliveries of webhooks that had not ended when they were last counted."""
        return 0 if self._webhooks is None else self._webhooks.pending

    @property
    def silent_s(self) -> float:
        """Seconds since this relay last began a round, or looked whether it can lead."""
        return self._clock() - self._round_at

    def stop(self) -> None:
        """Make :meth:`run` return after the present round."""
        self._stopping.set()

    def run(self) -> None:
        """Wait for the lead, then do rounds until :meth:`stop`. During an outage, try again and again."""
        while not self._stopping.is_set():
            self._round_at = self._clock()
            try:
                with self._ledger.database.own_connection() as conn:
                    self._postgres_outage.ended()
                    step = self._server_clock.step(conn)
                    self._clock_step += step
                    # By a clock that was just set, the leader looks silent until it asks the next time.
                    if not step and self._ledger.maintenance.end_silent_lead(conn, LEAD_TIMEOUT_S):
                        logger.warning("the relay that led did nothing for %g s and loses the lead", LEAD_TIMEOUT_S)
                    if self._ledger.maintenance.try_lead(conn):
                        logger.info("leading")
                        self._future_left = True  # nobody may have led when the clock was set back
                        self.leads = True
                        with self._webhooks or nullcontext():
                            self._lead(conn)
            except ServiceUnavailable as error:
                self._postgres_outage.began(str(error))
            finally:
                self.leads = False
            self._stopping.wait(RETRY_INTERVAL_S)

    def step(self) -> bool:
        """Do one round.

        :returns: whether there is more to publish.
        """
        self._follow_clock()
        maintenance = self._ledger.maintenance
        if lost := maintenance.expire_leases():
            logger.warning("%d attempts were lost with their worker", lost)
            self.attempts_lost += lost
        fault_point("relay:leases_expired")
        if overdue := maintenance.end_overdue():
            logger.warning("%d jobs were ended past their deadline", overdue)
        fault_point("relay:overdue_ended")
        if advanced := self._ledger.chains.advance():
            logger.info("%d chained jobs were queued, or ended with the job before them", advanced)
        fault_point("relay:chains_advanced")
        if self._clock() >= self._partitions_due_at:
            complete = self.keep_partitions()
            self._partitions_due_at = self._clock() + (PARTITION_INTERVAL_S if complete else PARTITION_RETRY_S)
        if self._clock() >= self._files_due_at:
            if removed := self._ledger.files.remove_expired():
                logger.info("removed %d files that had expired", removed)
            if removed := self._ledger.uploads.remove_expired():
                logger.info("removed %d parts of uploads that had expired", removed)
            self._ledger.kept_answers.remove_old()
            self._files_due_at = self._clock() + FILE_INTERVAL_S
        # All that needs Redis comes last: it may fail, or take as long as the limits of its connections.
        more = self._publish_new()
        fault_point("relay:published")
        if self._clock() - self._compared_at >= COMPARE_INTERVAL_S:
            self._look_for_another_cluster()
            # After Redis has lost everything, each round publishes a part, so that leases do not wait.
            if self.replace_lost_tickets():
                more = True
            else:
                self._compared_at = self._clock()
                self.remove_stale_messages()
            fault_point("relay:compared")
        return more

    def _follow_clock(self) -> None:
        """Notice that the clock of Postgres was set, and mend what would suffer from it."""
        with self._ledger.database.connection() as conn:
            self._clock_step += self._server_clock.step(conn)
        if self._clock_step:
            logger.warning("the clock of Postgres was set %s", _how_far(self._clock_step))
            self._server_clock.mend(self._clock_step)
            self._clock_step = 0.0
            self._future_left = True
        self._server_clock.shorten_leases(None if self._future_left else MAX_LEASES_LOOKED_AT)
        if self._future_left:
            self._future_left = self._server_clock.forget_future()

    def _publish_new(self) -> bool:
        for _ in range(MAX_PUBLISHED_BATCHES):
            tickets = self._ledger.maintenance.unpublished(grace=PUBLISH_GRACE_S)
            if not tickets:
                return False
            publish(self._app, self._ledger, tickets)
            logger.info("published %d shards", len(tickets))
        return True

    def keep_partitions(self) -> bool:
        """Make the partitions that will be needed.

        :returns: whether all exist. Results can be written even if one is missing.
        """
        partitions = self._ledger.partitions.create_missing()
        for name in partitions.created:
            logger.info("made partition %s", name)
        for name, reason in partitions.skipped.items():
            logger.warning("did not make partition %s: %s", name, reason)
        return not partitions.skipped

    def replace_lost_tickets(self) -> int:
        """Publish again what Redis has lost.

        Redis gives out the messages of a queue and priority in the order in which they were published. So a shard that
        waits although later messages are next has lost its message, or a worker holds it; publishing it again does no
        harm. A loss that no later message has overtaken costs nothing yet. However many shards wait, only the next
        messages and the lost shards are read.

        :returns: how many shards were published again. There may be more.
        """
        replaced = 0
        for queue, priority in self._ledger.maintenance.waiting_queues(QUEUES, grace=CLAIM_GRACE_S):
            upcoming = peek(self._app, queue, priority)
            fault_point("relay:peeked")
            tickets = self._ledger.maintenance.lost(
                *(queue, priority, upcoming.messages), complete=upcoming.complete, grace=CLAIM_GRACE_S
            )
            if tickets:
                publish(self._app, self._ledger, tickets)
                logger.warning("published %d shards again: their tickets are not in Redis", len(tickets))
                replaced += len(tickets)
        return replaced

    def remove_stale_messages(self) -> int:
        """Keep the queues in Redis short: see :func:`longshore.broker.upcoming.remove_stale`.

        :returns: how many messages were removed.
        """
        removed = 0
        for queue, priority in self._ledger.maintenance.waiting_queues(QUEUES, grace=0.0):
            removed += remove_stale(self._app, self._ledger, queue, priority)
        if removed:
            logger.info("removed %d messages whose shards wait no more", removed)
        return removed

    def _lead(self, conn: LedgerConnection) -> None:
        listener = self._ledger.notifications.tickets(conn)
        while not self._stopping.is_set():
            more = False
            self._round_at = self._clock()
            try:
                more = self.step()
                self._outage.ended()
                self._postgres_outage.ended()
            except RedisUnavailable as error:
                self._outage.began(str(error))
                self._stopping.wait(RETRY_INTERVAL_S)
            except ServiceUnavailable as error:
                self._postgres_outage.began(str(error))
                self._future_left = True  # the clock may have been set forward and back again meanwhile
                self._stopping.wait(RETRY_INTERVAL_S)
            self._ledger.maintenance.prove_lead(conn)
            # Raises if the connection is gone, and with it the lead.
            listener.wait(0.0 if more else self._pause())

    def _pause(self) -> float:
        """Seconds to the next round: less if a shard that waits for its time can run before."""
        try:
            due = self._ledger.maintenance.seconds_to_next_due()
        except ServiceUnavailable:
            due = None  # the next round reports it
        return ROUND_INTERVAL_S if due is None else min(ROUND_INTERVAL_S, due + DUE_MARGIN_S)

    def _look_for_another_cluster(self) -> None:
        if self._address is None:
            return
        if self._others is None:
            identity = self._ledger.queries.identity()
            if identity is None:  # this user of Postgres may not know it
                self._address = None
                return
            self._others = OtherCluster(self._address, identity)
        advice = self._others.mark()
        if advice is not None and not self._shared:
            logger.error("%s", advice)
        self._shared = advice is not None


def _how_far(step: float) -> str:
    if abs(step) < MIN_STEP_S:  # the sum of two steps that a follower has noticed
        return "and set back again"
    return f"{'forward' if step > 0 else 'back'} by {abs(step):.0f} s"


def _serving(relay: Relay, ledger: Ledger, app: Celery, server: MetricsServer | None) -> AbstractContextManager[object]:
    """Serves metrics, if somebody asks for them: a relay needs no package for it otherwise."""
    if server is None:
        return nullcontext()
    from longshore.broker.monitoring.relay_monitor import RelayMonitor

    return RelayMonitor(relay, ledger, app, server)


def main() -> int:
    """Run the process behind ``longshore relay`` until SIGTERM or SIGINT.

    :returns: the exit code.
    """
    configure_logging()
    try:
        settings = load_settings(process=Process.SERVICES)
        address = parse_redis_url(settings.redis_url)
        endpoint = metrics_address()
        server = None if endpoint is None else MetricsServer(endpoint)
        sender = Sender(load_webhook_settings())
    except LongshoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    with Ledger(settings.database_url, "longshore relay", plan_anew=True) as ledger:
        app = make_app(settings)
        relay = Relay(ledger, app, address, webhooks=WebhookService(ledger.database, sender))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        with _serving(relay, ledger, app, server):
            relay.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
