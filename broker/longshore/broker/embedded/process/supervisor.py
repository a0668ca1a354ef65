"""Starts again what ends by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from longshore.broker.embedded.logs import bound
from longshore.broker.embedded.process.processes import Child, Children, Command
from longshore.broker.embedded.process.signals import StopSignals
from longshore.shared.errors import HomeError

logger = logging.getLogger("longshore.up")

#: Seconds before the first, and at most before any, new start.
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
#: Seconds a process must have run for its earlier ends to be forgotten.
_HEALTHY_S = 60.0
#: Seconds between two looks at the size of the logs.
_LOGS_S = 60.0


class Supervisor:
    """Keeps the processes of an ``up`` running until stopping is asked for.

    A process that ends again and again is started after longer and longer pauses.
    """

    def __init__(self, children: Children, logs: Iterable[Path]) -> None:
        self._children = children
        self._logs = tuple(logs)
        self._pauses: dict[str, float] = {}
        #: What to start again, and from when on.
        self._due: dict[str, tuple[float, Command]] = {}

    def watch(self, stop: StopSignals) -> None:
        """Returns when stopping is asked for."""
        while not stop.requested:
            now = time.monotonic()
            for child in self._children.ended():
                self._plan(child, now)
            self._start_due(now)
            for log in self._logs:
                bound(log)
            stop.wait(self._next(now))

    def _plan(self, child: Child, now: float) -> None:
        command = child.command
        last = 0.0 if now - child.started > _HEALTHY_S else self._pauses.get(command.name, 0.0)
        self._delay(command, now, FIRST_PAUSE_S if last == 0 else min(2 * last, LONGEST_PAUSE_S))
        logger.warning(
            "%s ended with code %s; starting it again in %.0f s",
            command.name,
            child.exit_code,
            self._pauses[command.name],
            extra={"action": "restart", "service": command.name, "exit_code": child.exit_code},
        )

    def _start_due(self, now: float) -> None:
        for name, (when, command) in list(self._due.items()):
            if when > now:
                continue
            del self._due[name]
            try:
                child = self._children.start(command)
            except HomeError as error:  # no space or no memory just now: that may pass
                self._delay(command, now, LONGEST_PAUSE_S)
                logger.warning("%s", error, extra={"action": "restart_failed", "service": name})
            else:
                logger.info("%s is back, pid %d", name, child.popen.pid, extra={"action": "started", "service": name})

    def _delay(self, command: Command, now: float, pause_s: float) -> None:
        self._pauses[command.name] = pause_s
        self._due[command.name] = (now + pause_s, command)

    def _next(self, now: float) -> float:
        return min([_LOGS_S, *(max(0.0, when - now) for when, _ in self._due.values())])
