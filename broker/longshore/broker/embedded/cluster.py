"""The whole of one ``up``: lock the home, start its services, supervise them, stop them."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from longshore.broker.embedded.files import home_errors, write_private
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.lock import HomeLock
from longshore.broker.embedded.logs import Echo, rotate
from longshore.broker.embedded.plan import Plan, gateway_url
from longshore.broker.embedded.process.leftovers import stop_leftovers
from longshore.broker.embedded.process.processes import Children
from longshore.broker.embedded.process.signals import Stopped, StopSignals
from longshore.broker.embedded.process.supervisor import ServiceSupervisor
from longshore.broker.embedded.report import Status, read_status
from longshore.broker.embedded.services.ports import LOOPBACK
from longshore.broker.embedded.startup import Servers, Startup
from longshore.broker.embedded.workers_start import WorkersStart
from longshore.shared.settings import Process

logger = logging.getLogger(__name__)
#: The parent of the loggers of all modules here. What it logs goes to the log of ``up``.
_package_logger = logging.getLogger("longshore.broker.embedded")


def run(plan: Plan, *, output: TextIO | None, on_ready: Callable[[Status], None] | None) -> None:
    """Start a home and keep it up until Ctrl-C, SIGTERM or SIGHUP; then stop everything. Call it in the main thread.

    :param output: where the lines of all logs are repeated.
    :param on_ready: called when every service listens and the workers have started, or one of them could not.
    :raises HomeError: the home cannot be used, is up already, or a service did not start; what was started is stopped.
    :raises InvalidInput: ``LONGSHORE_METRICS_PORT`` is no port, or is taken.
    """
    home = Home(plan.home)
    home.prepare()
    # The signal handlers first: once others see the lock taken, they may send SIGTERM.
    with StopSignals() as stop, HomeLock(home.lock_file, "up"), _logged(home, plan, output) as logs:
        if stop_leftovers(home):
            logger.info("stopped what an earlier `up` had left running")
        children = Children(home, uuid.uuid4().hex)
        try:
            startup = Startup(home, plan, children, stop)
            startup.check_metrics_ports()
            servers = startup.start_servers()
            supervisor = ServiceSupervisor(children, logs)
            with WorkersStart(home, servers.settings_of(Process.SERVICES).database_url, plan.workers) as workers:
                startup.start_services(servers)
                _publish(home, plan, servers)
                if plan.workers:
                    supervisor.watch(stop, until=lambda: workers.settled() or supervisor.has_ended("workers"))
            if not stop.requested:
                _say_ready(home, workers.missing, on_ready)
            supervisor.watch(stop)
        except Stopped:
            pass  # a signal came before every service listened: stop those that run
        finally:
            home.cluster_file.unlink(missing_ok=True)
            home.logins_file.unlink(missing_ok=True)
            logger.info("stopping", extra={"action": "stopping"})
            children.stop(lambda: stop.hard)
            logger.info("stopped", extra={"action": "stopped"})


def _say_ready(home: Home, missing_workers: int, on_ready: Callable[[Status], None] | None) -> None:
    logger.info("ready in %s", home.path, extra={"action": "ready"})
    if missing_workers:
        logger.warning("%d workers have not started; see %s", missing_workers, home.log("workers"))
    if on_ready is not None:
        on_ready(replace(read_status(home.path), missing_workers=missing_workers))


def _publish(home: Home, plan: Plan, servers: Servers) -> None:
    """Write where every service listens. The files contain passwords, so only their owner can read them."""
    settings, ports = servers.settings, servers.ports
    others = [process for process in Process if process is not Process.PRODUCER]
    logins = {process.value: servers.settings_of(process).database_url for process in others}
    with home_errors(home.logins_file):
        write_private(home.logins_file, json.dumps(logins, indent=1))
    content = {
        "redis_url": settings.redis_url,
        "database_url": settings.database_url,
        "store": settings.store,
        "flower_url": f"http://{LOOPBACK}:{ports.flower}" if plan.with_flower else None,
        "flower_port": ports.flower if plan.with_flower else None,
        "gateway_url": gateway_url(ports.gateway) if plan.with_gateway else None,
        "pid": os.getpid(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with home_errors(home.cluster_file):
        write_private(home.cluster_file, json.dumps(content, indent=1))


@contextmanager
def _logged(home: Home, plan: Plan, output: TextIO | None) -> Iterator[list[Path]]:
    """Write what ``up`` does to its log, and repeat all logs on ``output``. Yields the paths of the logs."""
    names = ["up", "redis", "postgres", "initdb", "migrate", *(service.name for service in plan.build_services())]
    logs = [home.log(name) for name in names]
    rotate(home.log("up"))
    with Echo(output, logs):
        with home_errors(home.log("up")):
            handler = logging.FileHandler(home.log("up"))
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        level = _package_logger.level
        _package_logger.setLevel(logging.INFO)
        _package_logger.addHandler(handler)
        try:
            yield logs
        finally:
            _package_logger.removeHandler(handler)
            _package_logger.setLevel(level)
            handler.close()
