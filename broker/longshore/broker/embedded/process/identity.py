"""Which process a number meant when it was written down.

The system gives a number to a new process once the old one is gone, so a number alone never stops anything here.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

#: Seconds by which two readings of one process's start can differ, as the clock is adjusted.
_SAME_START_S = 2.0
#: Seconds between two looks at a process that is ending.
_PAUSE_S = 0.05
#: Seconds to wait for a killed process to be gone.
_KILL_S = 10.0

#: In the environment of everything a cluster starts, and of all that starts in turn: which ``up`` it belongs to.
RUN_VARIABLE = "LONGSHORE_UP_RUN"


@dataclass(frozen=True)
class Identity:
    """A process, told apart from later ones with the same number.

    :param created: when it was started, in seconds since 1970.
    """

    pid: int
    created: float

    @classmethod
    def of(cls, process: psutil.Process) -> Identity:
        return cls(process.pid, process.create_time())

    @classmethod
    def own(cls) -> Identity:
        """The process this runs in."""
        return cls.of(psutil.Process())

    def find(self) -> psutil.Process | None:
        """The process, or ``None`` when it is gone."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < _SAME_START_S
        except psutil.NoSuchProcess:
            return None
        return process if same and is_alive(process) else None


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs. One that has ended and that nobody has collected yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end(
    process: psutil.Process, how: signal.Signals, grace_s: float, *, impatient: Callable[[], bool] = lambda: False
) -> None:
    """Ask a process to end, wait, then kill what is left of it and of all it started.

    :param grace_s: seconds it gets.
    :param impatient: asked while waiting; when true, the waiting is over.
    """
    tree = [process, *_descendants(process)]
    _send(process, how)
    deadline = time.monotonic() + grace_s
    while is_alive(process) and time.monotonic() < deadline and not impatient():
        time.sleep(_PAUSE_S)
    kill(tree)


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill, and wait until they are gone."""
    left = [process for process in processes if is_alive(process)]
    for process in left:
        _send(process, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_S
    while any(is_alive(process) for process in left) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)


def belonging_to(run: str) -> list[psutil.Process]:
    """Every process that an ``up`` started, itself or through others, wherever it has moved since.

    Redis and Postgres overwrite their environment with their title; they are known by their number.
    """
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_VARIABLE) == run and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or another user's: none of ours
    return found


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _send(process: psutil.Process, how: signal.Signals) -> None:
    try:
        process.send_signal(how)
    except psutil.NoSuchProcess:
        return
