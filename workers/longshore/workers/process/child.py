"""The child of a worker: the process that loads the models and computes."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence

from longshore.broker.app import make_app
from longshore.broker.coalescing import Coalescer
from longshore.broker.publishing import publish
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.records import Ticket
from longshore.shared.settings import Process, load_settings
from longshore.workers.context import WorkerContext
from longshore.workers.process.assemble import assemble_context
from longshore.workers.process.gc_tuning import freeze_heap
from longshore.workers.process.monitoring.sampling import start_sampling
from longshore.workers.process.progress_reporter import ProgressEvents
from longshore.workers.process.settings import WorkerSettings
from longshore.workers.process.watchdog.show import Shown

log = logging.getLogger(__name__)


def start_child(shown: Shown) -> WorkerContext:
    """Read the environment, take the device, and listen for the signal to drain.

    :param shown: what the parent sees.
    """
    settings = load_settings(process=Process.SERVICES)
    app = make_app(settings)

    def publish_planned(tickets: Sequence[Ticket]) -> None:
        try:
            publish(app, context.ledger, tickets)
        except ServiceUnavailable as error:
            log.warning("%s; the relay will publish %d shards", error, len(tickets))

    # Import now, so that a worker that reports ready does not make its first job wait for the import.
    importlib.import_module("longshore.workers.execution")
    worker = WorkerSettings.load()
    events = ProgressEvents(app, worker.name)
    context = assemble_context(settings, worker, publish_planned, Coalescer(app, settings), events, shown)
    context.draining.listen()
    context.logs.install()
    start_sampling(context)
    freeze_heap()
    return context
