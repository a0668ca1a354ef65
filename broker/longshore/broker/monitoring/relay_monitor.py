"""The metrics and the health of a relay.

One thread asks Postgres and Redis every few seconds, and what it has learned is served: however often Prometheus and
the health checks ask, the services are asked no more often, and an answer never waits for a service that hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Protocol

from celery import Celery
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)

from longshore.broker.monitoring.ended_jobs import EndedJobs
from longshore.broker.monitoring.server import MetricsServer
from longshore.broker.priorities import PRIORITY_STEPS
from longshore.broker.queues import QUEUES
from longshore.broker.redis_errors import redis_errors
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger

#: Seconds between two looks at Postgres and Redis.
SAMPLE_INTERVAL_S: Final = 2.0
#: Seconds without a look that has ended after which the relay is not ready: a service does not answer.
MAX_SAMPLE_AGE_S: Final = 15.0
#: Seconds without a round after which the relay has to be restarted. A round may wait for the limits of several
#: connections to a service that hangs.
MAX_SILENCE_S: Final = 90.0
#: Shards of a queue and priority that are counted, at most.
MAX_COUNTED: Final = 1000


class RelayState(Protocol):
    """What is asked of a relay."""

    @property
    def leads(self) -> bool: ...

    @property
    def silent_s(self) -> float: ...

    @property
    def attempts_lost(self) -> int: ...

    @property
    def webhooks_pending(self) -> int: ...

    @property
    def webhook_tries(self) -> Mapping[str, int]: ...


class RelayMonitor:
    """Serves the metrics of a relay while it runs; a context manager.

    :param server: listens already; closed at the end.
    """

    def __init__(self, relay: RelayState, ledger: Ledger, app: Celery, server: MetricsServer) -> None:
        self._relay = relay
        self._ledger = ledger
        self._app = app
        self._server = server
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics samples", daemon=True)
        self._problem: str | None = "Postgres and Redis were not asked yet"
        self._sampled_at = time.monotonic()
        self._attempts_lost = 0
        self._webhook_tries: dict[str, int] = {}
        # When each series began: nobody asks for it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._ended = EndedJobs(ledger, self.registry)
        self._leads = self._gauge("relay_leads", "1 for the relay that leads, 0 for one that stands by.")
        self._up = self._gauge("service_up", "Whether a service has answered.", "service")
        self._connections = self._gauge("postgres_connections", "Connections of the pool.", "state")
        # Only the relay that leads has values of these.
        self._shards = self._gauge("queue_shards", "Published shards that wait for a worker, up to a limit.", "queue")
        self._oldest = self._gauge("queue_oldest_seconds", "Seconds since the oldest of them was published.", "queue")
        self._messages = self._gauge("queue_messages", "Messages in Redis.", "queue")
        self._workers = self._gauge("workers", "Workers that have reported in the last seconds.", "queue")
        self._unpublished = self._gauge(
            "unpublished_shards", "Queued shards that are new or wait for their time, up to a limit.", "queue"
        )
        self._lost = Counter(
            "longshore_attempts_lost",
            "Attempts that have ended with their process.",
            ("cause",),
            registry=self.registry,
        )

        self._webhooks_pending = self._gauge(
            "webhook_deliveries_pending", "Events that are to be sent to endpoints of webhooks, up to a limit of each."
        )
        self._webhooks = Counter(
            "longshore_webhook_tries",
            "Tries to deliver an event of a webhook that have ended.",
            ("outcome",),
            registry=self.registry,
        )

    def sample(self) -> None:
        """Ask Postgres and Redis once."""
        problems = [problem for problem in (self._sample_postgres(), self._sample_redis()) if problem]
        lost, self._attempts_lost = self._relay.attempts_lost - self._attempts_lost, self._relay.attempts_lost
        self._lost.labels("lease_expired").inc(lost)
        self._leads.set(self._relay.leads)
        self._webhooks_pending.set(self._relay.webhooks_pending)
        for outcome, count in self._relay.webhook_tries.items():
            self._webhooks.labels(outcome).inc(count - self._webhook_tries.get(outcome, 0))
            self._webhook_tries[outcome] = count
        used, idle = self._ledger.database.pool_usage
        self._connections.labels("used").set(used)
        self._connections.labels("idle").set(idle)
        self._problem = "; ".join(problems) or None
        self._sampled_at = time.monotonic()

    def live(self) -> str | None:
        """Why the relay has to be restarted."""
        silent_s = self._relay.silent_s
        return f"the relay has begun no round for {silent_s:.0f} s" if silent_s > MAX_SILENCE_S else None

    def ready(self) -> str | None:
        """Why the relay can neither lead nor stand by."""
        age_s = time.monotonic() - self._sampled_at
        if age_s > MAX_SAMPLE_AGE_S:
            return f"Postgres or Redis has not answered for {age_s:.0f} s"
        return self._problem

    def __enter__(self) -> RelayMonitor:
        self._thread.start()
        self._server.start(lambda: (CONTENT_TYPE_LATEST, generate_latest(self.registry)), self.live, self.ready)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._stopped.set()
        # It may be waiting for a service that hangs; it ends with the process.
        self._thread.join(SAMPLE_INTERVAL_S)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.sample()
            self._stopped.wait(SAMPLE_INTERVAL_S)
        self._ended.stop()

    def _sample_postgres(self) -> str | None:
        try:
            if self._relay.leads:
                for depth in self._ledger.maintenance.queue_depths(QUEUES, limit=MAX_COUNTED):
                    self._shards.labels(depth.queue).set(depth.shards)
                    self._oldest.labels(depth.queue).set(depth.oldest_s)
                unpublished = self._ledger.maintenance.count_unpublished(limit=MAX_COUNTED)
                for queue in QUEUES:
                    self._unpublished.labels(queue).set(unpublished.get(queue, 0))
                self._ended.count()
                self._count_workers()
            else:
                self._ended.stop()
                for gauge in (self._shards, self._oldest, self._messages, self._workers, self._unpublished):
                    gauge.clear()
                self._ledger.workers.live_queues()
        except ServiceUnavailable as error:
            self._up.labels("postgres").set(0)
            return str(error)
        self._up.labels("postgres").set(1)
        return None

    def _count_workers(self) -> None:
        alive = [worker.queue for worker in self._ledger.workers.workers() if worker.alive]
        for queue in QUEUES:
            self._workers.labels(queue).set(alive.count(queue))

    def _sample_redis(self) -> str | None:
        try:
            with redis_errors(), self._app.connection_for_write() as connection:
                channel = connection.default_channel
                for queue in QUEUES:
                    messages = sum(channel.length(queue, step) for step in PRIORITY_STEPS)
                    if self._relay.leads:
                        self._messages.labels(queue).set(messages)
        except ServiceUnavailable as error:
            self._up.labels("redis").set(0)
            return str(error)
        self._up.labels("redis").set(1)
        return None

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"longshore_{name}", text, labels, registry=self.registry)
