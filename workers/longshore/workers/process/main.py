"""One worker: a Celery worker whose parent talks to Redis and Flower and whose one child computes.

Started by the supervisor, one for each device. SIGTERM makes it hand back what it runs and exit.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from billiard import active_children
from celery.platforms import SecurityWarning
from celery.signals import worker_before_create_process, worker_ready, worker_shutting_down

from longshore.broker.app import make_app
from longshore.broker.logs import configure_logging
from longshore.broker.monitoring.address import metrics_address
from longshore.broker.monitoring.server import MetricsServer
from longshore.broker.outages import Outage
from longshore.shared.errors import LongshoreError, ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.workers import PRESENCE_INTERVAL_S, Presence
from longshore.shared.settings import Process, load_settings
from longshore.shared.specs.families import BUILT_IN, FAMILY_GROUP, PACKAGES
from longshore.workers.process.consumption import Consumption
from longshore.workers.process.draining import DRAIN_SIGNAL
from longshore.workers.process.parent_end import parent_has_ended, request_signal
from longshore.workers.process.settings import WorkerSettings
from longshore.workers.process.watchdog.board import SUPERVISOR_BOARD_VARIABLE, Board
from longshore.workers.process.watchdog.watchdog import END_TIMEOUT_S, Watchdog

log = logging.getLogger("longshore.workers.process.main")


#: Seconds between two looks at whether a child is ready.
READY_POLL_INTERVAL_S = 0.1
#: Seconds between two removals of workers that are gone for good from the list.
CLEANING_INTERVAL_S = 600.0
#: Seconds that a worker which stops waits at most to record that it has left.
LEAVE_TIMEOUT_S = 3.0
#: The exit status of a worker that has to be started anew.
EXIT_RESTART = 1


class PresenceThread(threading.Thread):
    """Records every few seconds that the worker is present, and at the end that it has left.

    :param ready: whether a child can run shards. A worker without one is not present.
    """

    def __init__(self, ledger: Ledger, presence: Presence, ready: Callable[[], bool]) -> None:
        super().__init__(name="presence", daemon=True)
        self._ledger = ledger
        self._presence = presence
        self._ready = ready
        self._outage = Outage("Postgres", log)
        self._stopped = threading.Event()

    def run(self) -> None:
        self._keep_present()
        with suppress(ServiceUnavailable):
            self._ledger.workers.forget(self._presence)

    def stop(self) -> None:
        """Record that the worker has left, and stop. Postgres may be away: its silence then says the same."""
        self._stopped.set()
        self.join(LEAVE_TIMEOUT_S)

    def _keep_present(self) -> None:
        cleaned_at = -math.inf
        while True:
            if not self._ready():
                if self._stopped.wait(READY_POLL_INTERVAL_S):
                    return
                continue
            try:
                self._ledger.workers.see(self._presence)
                if time.monotonic() - cleaned_at > CLEANING_INTERVAL_S:
                    self._ledger.workers.forget_silent()
                    cleaned_at = time.monotonic()
                self._outage.ended()
            except ServiceUnavailable as error:  # try again next time; a worker that stays silent counts as gone
                self._outage.began(str(error))
            if self._stopped.wait(PRESENCE_INTERVAL_S):
                return


def serve(queues: list[str], slot: str) -> int:
    """Run a Celery worker until it is stopped. Returns its exit status."""
    settings = load_settings(process=Process.SERVICES)
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
    endpoint = metrics_address()
    server = None if endpoint is None else MetricsServer(endpoint)
    with Ledger(settings.database_url, f"longshore presence {worker.name}") as ledger:
        watchdog = Watchdog(
            ledger, worker, on_failed_start=_restart, on_stuck=lambda: _break_off(thread), board=_own_board()
        )
        thread = PresenceThread(ledger, presence, lambda: watchdog.ready)
        consumption = Consumption(app, queues, lambda: watchdog.ready, lambda: watchdog.idle, worker.stall_timeout)
        app.steps["consumer"].add(consumption.step())
        # In variables, because Celery keeps only weak references to receivers.
        ready, stopping, starting = _on_ready(thread, consumption), _on_stopping(watchdog), watchdog.prepare_child
        worker_ready.connect(ready)
        worker_shutting_down.connect(stopping)
        worker_before_create_process.connect(starting)
        watchdog.start()
        controller = app.Worker(
            hostname=worker.name,
            queues=queues,
            loglevel="WARNING",
            without_gossip=True,
            without_mingle=True,
            quiet=True,
        )
        if server is not None:
            # Only now: the package is an extra.
            from longshore.workers.process.monitoring.exporter import start_serving

            start_serving(server, watchdog, presence, worker.stall_timeout)
        controller.start()
        consumption.stop()
        if server is not None:
            server.stop()
        watchdog.stop()
        if thread.is_alive():
            thread.stop()
    return int(controller.exitcode or 0)


def _own_board() -> Board | None:
    """The board on which the supervisor sees that this process goes on."""
    path = os.environ.pop(SUPERVISOR_BOARD_VARIABLE, None)
    return None if path is None else Board.open(Path(path))


def _restart(reason: str = "its child could not start") -> None:
    """End this process at once; the supervisor starts another, after longer and longer delays. Its child is idle or
    has ended, and the system ends it.
    """
    log.error("the worker ends, to be started again: %s", reason)
    logging.shutdown()
    os._exit(EXIT_RESTART)


def _break_off(presence: PresenceThread) -> None:
    """End this process at once, as it was told to and cannot. What it has taken from Redis and not begun is published
    again.
    """
    log.warning("the worker has nothing left to hand back, and did not end in %g s; ending it now", END_TIMEOUT_S)
    if presence.is_alive():
        presence.stop()
    logging.shutdown()
    os._exit(0)


def family_names() -> list[str]:
    """The families this worker can train, listed without importing any of them."""
    missing = {family for family, package in PACKAGES.items() if find_spec(package) is None}
    return sorted({*(BUILT_IN.keys() - missing), *(point.name for point in entry_points(group=FAMILY_GROUP))})


def _on_ready(thread: PresenceThread, consumption: Consumption) -> Callable[..., None]:
    def ready(**_: object) -> None:
        if not thread.is_alive():
            thread.start()
            consumption.watch(_restart)

    return ready


def _on_stopping(watchdog: Watchdog) -> Callable[..., None]:
    def stopping(**_: object) -> None:
        watchdog.drain()
        _drain_children()

    return stopping


def _drain_children() -> None:
    for child in active_children():
        with suppress(ProcessLookupError):
            os.kill(child.pid, DRAIN_SIGNAL)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Leave out Celery's own traceback where a child has ended: the watchdog says why it did. Drops no record."""
    if "Worker exited prematurely" in record.getMessage():
        record.exc_info = None
    return True


def main() -> int:
    """The command line that the supervisor uses. Secrets come from the environment."""
    parser = argparse.ArgumentParser(prog="python -m longshore.workers.process.main")
    parser.add_argument("--queues", required=True, help="names joined by commas, the device's own first")
    parser.add_argument("--slot", required=True, help="the device, as `longshore worker --devices` names it")
    parser.add_argument("--cores", default="", help="cores to be pinned to, joined by commas")
    options = parser.parse_args()
    # The supervisor handles a Ctrl-C of the terminal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Without its supervisor it would run beside the workers of the next one: it hands back, and ends.
    request_signal(signal.SIGTERM)
    if parent_has_ended():
        return 0
    configure_logging()
    logging.getLogger("celery.worker.request").addFilter(_without_traceback)
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
