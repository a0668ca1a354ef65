"""One ``up``, from the lock on the home to the last process stopped."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from longshore.broker.embedded.files import home_errors, write_private
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.lock import HomeLock
from longshore.broker.embedded.logs import Echo, bound
from longshore.broker.embedded.plan import Plan
from longshore.broker.embedded.process.leftovers import stop_leftovers
from longshore.broker.embedded.process.processes import Children
from longshore.broker.embedded.process.signals import Stopped, StopSignals
from longshore.broker.embedded.process.supervisor import Supervisor
from longshore.broker.embedded.report import Status, read_status
from longshore.broker.embedded.services.ports import LOOPBACK, Ports
from longshore.broker.embedded.startup import Startup
from longshore.shared.settings import Settings

logger = logging.getLogger("longshore.up")


def run(plan: Plan, *, output: TextIO | None, on_ready: Callable[[Status], None] | None) -> None:
    """Bring a home up and keep it up until Ctrl-C, SIGTERM or SIGHUP; then stop everything. In the main thread only.

    :param output: where the lines of all logs are repeated.
    :param on_ready: called when everything listens.
    :raises HomeError: the home cannot be used, is up already, or a service did not start; what was started is stopped.
    """
    home = Home(plan.home)
    home.prepare()
    # The signals first: from the moment others see the lock held, a SIGTERM is heard.
    with StopSignals() as stop, HomeLock(home.lock_file, "up"), _narrated(home, plan, output) as logs:
        if stop_leftovers(home):
            logger.info("stopped what an earlier `up` had left running")
        children = Children(home, uuid.uuid4().hex)
        try:
            startup = Startup(home, plan, children, stop)
            settings, ports = startup.start_servers()
            startup.start_services(settings, ports)
            _publish(home, plan, settings, ports)
            logger.info("ready in %s", home.path, extra={"action": "ready"})
            if on_ready is not None:
                on_ready(read_status(home.path))
            Supervisor(children, logs).watch(stop)
        except Stopped:
            pass  # asked to stop before everything listened: stop what does
        finally:
            home.cluster_file.unlink(missing_ok=True)
            logger.info("stopping", extra={"action": "stopping"})
            children.stop(lambda: stop.hard)
            logger.info("stopped", extra={"action": "stopped"})


def _publish(home: Home, plan: Plan, settings: Settings, ports: Ports) -> None:
    """Tell where everything listens. The file holds passwords, so only its owner can read it."""
    content = {
        "redis_url": settings.redis_url,
        "database_url": settings.database_url,
        "store": settings.store,
        "flower_url": f"http://{LOOPBACK}:{ports.flower}" if plan.with_flower else None,
        "flower_port": ports.flower if plan.with_flower else None,
        "pid": os.getpid(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with home_errors(home.cluster_file):
        write_private(home.cluster_file, json.dumps(content, indent=1))


@contextmanager
def _narrated(home: Home, plan: Plan, output: TextIO | None) -> Iterator[list[Path]]:
    """Write what ``up`` does to its log, and repeat all logs on ``output``. Yields the logs."""
    names = ["up", "redis", "postgres", "initdb", "migrate", *(service.name for service in plan.build_services(0))]
    logs = [home.log(name) for name in names]
    bound(home.log("up"))
    with Echo(output, logs):
        with home_errors(home.log("up")):
            handler = logging.FileHandler(home.log("up"))
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        before = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        try:
            yield logs
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)
            handler.close()
