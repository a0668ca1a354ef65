"""The child of a worker: the process that holds the models and computes."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from longshore.broker.app import make_app
from longshore.broker.coalescing import Coalescer
from longshore.broker.publishing import publish
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.records import Ticket
from longshore.shared.settings import load_settings
from longshore.workers.context import WorkerContext, log
from longshore.workers.process.gc_tuning import keep
from longshore.workers.process.progress_reporter import TaskEvents
from longshore.workers.process.settings import WorkerSettings


def start_child() -> WorkerContext:
    """Read the environment, take the device, and listen for the wish to stop."""
    settings = load_settings()
    app = make_app(settings)

    def publish_cut(tickets: Sequence[Ticket]) -> None:
        try:
            publish(app, context.ledger, tickets)
        except ServiceUnavailable as error:
            log.warning("%s; the relay will publish %d shards", error, len(tickets))

    # Loaded now, so that a worker which says that it is ready does not make the first job wait for it.
    importlib.import_module("longshore.workers.execution")
    worker = WorkerSettings.load()
    context = WorkerContext(settings, worker, publish_cut, Coalescer(app), TaskEvents(app, worker.name))
    context.draining.listen()
    keep()
    return context
