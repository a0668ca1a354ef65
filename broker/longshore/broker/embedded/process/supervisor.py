"""Restarts processes that exit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from longshore.broker.embedded.logs import rotate
from longshore.broker.embedded.process.processes import Child, Children, Command
from longshore.broker.embedded.process.signals import StopSignals
from longshore.shared.errors import HomeError

logger = logging.getLogger(__name__)

#: Seconds before the first restart of a process, and at most before any restart: all of a cluster waits for Redis and
#: Postgres, and hardly notices one more start of a process that cannot run.
MIN_RESTART_DELAY_S = 1.0
MAX_RESTART_DELAY_S = 10.0
#: Seconds that a process must run for the delay to be reset.
_HEALTHY_S = 60.0
#: Seconds between two checks of the size of the logs.
_LOG_CHECK_INTERVAL_S = 60.0
#: Seconds between two looks whether what a watch waits for has happened.
_POLL_INTERVAL_S = 0.1


class ServiceSupervisor:
    """Keeps the processes of an ``up`` running until a signal to stop is received.

    A process that exits again and again is restarted after longer and longer delays.
    """

    def __init__(self, children: Children, logs: Iterable[Path]) -> None:
        self._children = children
        self._logs = tuple(logs)
        self._delays: dict[str, float] = {}
        #: What to restart, and from when on.
        self._due: dict[str, tuple[float, Command]] = {}

    def has_ended(self, name: str) -> bool:
        """Whether a process has ever ended while this watched."""
        return name in self._delays

    def watch(self, stop: StopSignals, until: Callable[[], bool] | None = None) -> None:
        """Supervise until a signal to stop is received.

        :param until: asked again and again; ends the watch when it is true.
        """
        interval_s = _LOG_CHECK_INTERVAL_S if until is None else _POLL_INTERVAL_S
        while not stop.requested and not (until is not None and until()):
            now = time.monotonic()
            for child in self._children.ended():
                self._plan(child, now)
            self._start_due(now)
            for log in self._logs:
                rotate(log)
            stop.wait(min(interval_s, self._next(now)))

    def _plan(self, child: Child, now: float) -> None:
        command = child.command
        if now - child.started_at > _HEALTHY_S:
            self._delays[command.name] = 0.0
        self._delay(command, now)
        logger.warning(
            "%s ended with code %s; starting it again in %g s",
            command.name,
            child.exit_code,
            self._delays[command.name],
            extra={"action": "restart", "service": command.name, "exit_code": child.exit_code},
        )

    def _start_due(self, now: float) -> None:
        for name, (when, command) in list(self._due.items()):
            if when > now:
                continue
            del self._due[name]
            try:
                child = self._children.start(command)
            except HomeError as error:  # no space or no memory: that may pass
                self._delay(command, now)
                logger.warning(
                    "%s; %s is started again in %g s",
                    error,
                    name,
                    self._delays[name],
                    extra={"action": "restart_failed", "service": name},
                )
            else:
                logger.info("%s is back, pid %d", name, child.popen.pid, extra={"action": "started", "service": name})

    def _delay(self, command: Command, now: float) -> None:
        delay_s = min(max(MIN_RESTART_DELAY_S, 2 * self._delays.get(command.name, 0.0)), MAX_RESTART_DELAY_S)
        self._delays[command.name] = delay_s
        self._due[command.name] = (now + delay_s, command)

    def _next(self, now: float) -> float:
        return min([_LOG_CHECK_INTERVAL_S, *(max(0.0, when - now) for when, _ in self._due.values())])
