"""One worker: a Celery worker whose parent talks to Redis and Flower and whose one child computes.

Started by the supervisor, one for each device. SIGTERM makes it hand back what it runs and exit.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import entry_points

from billiard import active_children
from celery.platforms import SecurityWarning
from celery.signals import worker_ready, worker_shutting_down

from longshore.broker.app import make_app
from longshore.broker.logs import configure_logging
from longshore.shared.errors import LongshoreError, ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.workers import PRESENCE_INTERVAL_S, Presence
from longshore.shared.settings import load_settings
from longshore.shared.specs.families import BUILT_IN, FAMILY_GROUP
from longshore.workers.process.draining import DRAIN_SIGNAL
from longshore.workers.process.settings import WorkerSettings

log = logging.getLogger("longshore.workers.process.main")


class PresenceThread(threading.Thread):
    """Records every few seconds that the worker is present, and at the end that it has left."""

    def __init__(self, ledger: Ledger, presence: Presence) -> None:
        super().__init__(name="presence", daemon=True)
        self._ledger = ledger
        self._presence = presence
        self._stopped = threading.Event()

    def run(self) -> None:
        while True:
            with suppress(ServiceUnavailable):  # try again next time; a worker that stays silent counts as gone
                self._ledger.workers.see(self._presence)
            if self._stopped.wait(PRESENCE_INTERVAL_S):
                return

    def stop(self) -> None:
        """Record that the worker has left, and stop."""
        self._stopped.set()
        self.join()
        with suppress(ServiceUnavailable):
            self._ledger.workers.forget(self._presence.name)


def serve(queues: list[str], slot: str) -> int:
    """Run a Celery worker until it is stopped. Returns its exit status."""
    settings = load_settings()
    worker = WorkerSettings.load()
    app = make_app(settings)
    app.conf.include = ["longshore.workers.process.tasks"]
    app.conf.worker_consumer = "longshore.workers.process.consumer:TicketConsumer"
    app.set_current()
    presence = Presence(
        name=worker.name,
        device=slot,
        queue=queues[0],
        host=socket.gethostname(),
        pid=os.getpid(),
        families=family_names(),
    )
    with Ledger(settings.database_url, f"longshore presence {worker.name}") as ledger:
        thread = PresenceThread(ledger, presence)
        # In variables, because Celery keeps only weak references to receivers.
        ready, stopping = _on_ready(thread), _drain_children
        worker_ready.connect(ready)
        worker_shutting_down.connect(stopping)
        controller = app.Worker(
            hostname=worker.name,
            queues=queues,
            loglevel="WARNING",
            without_gossip=True,
            without_mingle=True,
            quiet=True,
        )
        controller.start()
        if thread.is_alive():
            thread.stop()
    return int(controller.exitcode or 0)


def family_names() -> list[str]:
    """The families this worker can train, listed without importing any of them."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=FAMILY_GROUP))})


def _on_ready(thread: PresenceThread) -> Callable[..., None]:
    def ready(**_: object) -> None:
        if not thread.is_alive():
            thread.start()

    return ready


def _drain_children(**_: object) -> None:
    for child in active_children():
        with suppress(ProcessLookupError):
            os.kill(child.pid, DRAIN_SIGNAL)


def main() -> int:
    """The command line that the supervisor uses. Secrets come from the environment."""
    parser = argparse.ArgumentParser(prog="python -m longshore.workers.process.main")
    parser.add_argument("--queues", required=True, help="names joined by commas, the device's own first")
    parser.add_argument("--slot", required=True, help="the device, as `longshore worker --devices` names it")
    parser.add_argument("--cores", default="", help="cores to be pinned to, joined by commas")
    options = parser.parse_args()
    # The supervisor handles a Ctrl-C of the terminal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_logging()
    # Celery warns root about messages that run code when unpickled; ours are never unpickled.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    if options.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in options.cores.split(",")})
    try:
        return serve(options.queues.split(","), options.slot)
    except LongshoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
