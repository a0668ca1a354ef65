"""Processes identified by their pid and start time.

The operating system reuses pids, so nothing here signals a process by its pid alone.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Seconds by which two readings of a process's start time may differ, because the clock is adjusted.
_START_TOLERANCE_S = 2.0
#: Where Linux shows the id of its present boot.
_BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")
#: Seconds between two checks of a process that is ending.
_POLL_INTERVAL_S = 0.05
#: Seconds to wait for a killed process to be gone.
_KILL_TIMEOUT_S = 10.0

#: The variable that marks every process of an ``up``, and all their descendants, with the id of the ``up``.
RUN_VARIABLE = "LONGSHORE_UP_RUN"


@dataclass(frozen=True)
class Identity:
    """A process, distinguished from later ones with the same pid.

    :param created: when it was started, in seconds since 1970.
    :param boot: the boot of the system in which it was started, and ``uptime`` the seconds from it to the start: known
        on Linux, and the same after somebody has set the clock.
    """

    pid: int
    created: float
    boot: str = ""
    uptime: float = 0.0

    @classmethod
    def of(cls, process: psutil.Process) -> Identity:
        created = process.create_time()
        return cls(process.pid, created, _boot(), created - psutil.boot_time())

    @classmethod
    def read(cls, row: Mapping[str, object]) -> Identity:
        """What :meth:`as_json` has made, or made in an earlier release.

        :raises KeyError: it is not; or ``ValueError``.
        """
        return cls(
            int(str(row["pid"])),
            float(str(row["created"])),
            str(row.get("boot", "")),
            float(str(row.get("uptime", 0))),
        )

    def as_json(self) -> dict[str, str | int | float]:
        """The fields."""
        return {"pid": self.pid, "created": self.created, "boot": self.boot, "uptime": self.uptime}

    @classmethod
    def own(cls) -> Identity:
        """The identity of the current process."""
        return cls.of(psutil.Process())

    def find(self) -> psutil.Process | None:
        """The process, or ``None`` if it is gone."""
        try:
            process = psutil.Process(self.pid)
            found = Identity.of(process)
            same = abs(found.created - self.created) < _START_TOLERANCE_S
            if self.boot and self.boot == found.boot:
                same = abs(found.uptime - self.uptime) < _START_TOLERANCE_S
        except psutil.NoSuchProcess:
            return None
        return process if same and is_alive(process) else None


def _boot() -> str:
    """The id of this boot of the system; empty if it has none."""
    try:
        return _BOOT_FILE.read_text().strip()
    except OSError:
        return ""


def is_alive(process: psutil.Process) -> bool:
    """Whether a process still runs. A zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end(
    process: psutil.Process,
    stop_signal: signal.Signals,
    grace_s: float,
    *,
    impatient: Callable[[], bool] = lambda: False,
) -> None:
    """Send a process a signal, wait for its end, then kill what is left of it and its descendants.

    :param grace_s: seconds to wait.
    :param impatient: called while waiting; ``True`` ends the wait.
    """
    tree = [process, *_descendants(process)]
    _send(process, stop_signal)
    deadline = time.monotonic() + grace_s
    while is_alive(process) and time.monotonic() < deadline and not impatient():
        time.sleep(_POLL_INTERVAL_S)
    kill(tree)


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes and wait until they are gone."""
    alive = [process for process in processes if is_alive(process)]
    for process in alive:
        _send(process, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_TIMEOUT_S
    while any(is_alive(process) for process in alive) and time.monotonic() < deadline:
        time.sleep(_POLL_INTERVAL_S)


def belonging_to(run: str) -> list[psutil.Process]:
    """Every process that an ``up`` started, directly or indirectly, including daemons that left their parent.

    Redis and Postgres overwrite their environment with their title, so they are identified by their pid instead.
    """
    processes = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_VARIABLE) == run and process.pid != os.getpid():
                processes.append(process)
        except (psutil.Error, OSError):
            continue  # it has exited, or belongs to another user
    return processes


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _send(process: psutil.Process, stop_signal: signal.Signals) -> None:
    try:
        process.send_signal(stop_signal)
    except psutil.NoSuchProcess:
        return
