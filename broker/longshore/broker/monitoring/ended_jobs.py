"""Counts the jobs that end, each once, by what Postgres announces: who ends a job need not be asked."""

from __future__ import annotations

import queue
from collections import OrderedDict
from contextlib import ExitStack
from datetime import datetime
from typing import Final
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Histogram

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.maintenance import EndedJob
from longshore.shared.ledger.notifications import Heard

#: Jobs that one query looks up.
MAX_LOOKED_UP: Final = 1000
#: Jobs that are known to be counted: some are announced again shortly after their end.
MAX_REMEMBERED: Final = 20_000
#: Upper limits of the histograms of jobs, in seconds: from a request of a service to a training of a day.
BUCKETS: Final = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600, 10_800, 86_400)


class EndedJobs:
    """The jobs that have ended while this process led."""

    def __init__(self, ledger: Ledger, registry: CollectorRegistry) -> None:
        self._ledger = ledger
        self._heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._listening: ExitStack | None = None
        #: Announced, and not looked up yet.
        self._changed: set[UUID] = set()
        #: When each had ended; a job that is retried ends again.
        self._counted: OrderedDict[UUID, datetime] = OrderedDict()
        self._ended = Counter("longshore_jobs", "Jobs that have ended.", ("kind", "outcome"), registry=registry)
        self._waited = Histogram(
            "longshore_job_wait_seconds",
            "Seconds from the submission of a job to its start.",
            ("kind",),
            registry=registry,
            buckets=BUCKETS,
        )
        self._ran = Histogram(
            "longshore_job_run_seconds",
            "Seconds from the start of a job to its end.",
            ("kind",),
            registry=registry,
            buckets=BUCKETS,
        )

    def count(self) -> None:
        """Count what has ended since the last call. The first call begins to listen.

        :raises ServiceUnavailable: Postgres cannot be reached. The next call goes on.
        """
        if self._listening is None:
            self._listening = ExitStack()
            try:
                self._listening.enter_context(self._ledger.notifications.listening(self._heard.put))
            except ServiceUnavailable:
                self._listening = None
                raise
        self._take_heard()
        while self._changed:
            some = list(self._changed)[:MAX_LOOKED_UP]
            for job in self._ledger.maintenance.ended(some):
                self._count(job)
            self._changed.difference_update(some)

    def stop(self) -> None:
        """Listen no more, and forget what was not counted: another process counts now."""
        self._stop_listening()
        self._heard = queue.SimpleQueue()
        self._changed.clear()

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def _take_heard(self) -> None:
        while not self._heard.empty():
            heard = self._heard.get()
            if isinstance(heard, ServiceUnavailable):
                self._stop_listening()  # the next call begins anew
            else:
                self._changed |= heard

    def _count(self, job: EndedJob) -> None:
        if self._counted.get(job.id) == job.finished_at:
            return
        self._counted[job.id] = job.finished_at
        if len(self._counted) > MAX_REMEMBERED:
            self._counted.popitem(last=False)
        self._ended.labels(job.kind, job.state).inc()
        if job.waited_s is not None and job.ran_s is not None:
            self._waited.labels(job.kind).observe(job.waited_s)
            self._ran.labels(job.kind).observe(job.ran_s)
