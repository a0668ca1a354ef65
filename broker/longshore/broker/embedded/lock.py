"""One ``up`` (or ``down``) at a time in a home."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from longshore.broker.embedded.files import home_errors
from longshore.broker.embedded.process.identity import Identity
from longshore.shared.errors import HomeError

#: Seconds between two looks at a lock somebody else holds.
_PAUSE_S = 0.05

Task = Literal["up", "down"]


@dataclass(frozen=True)
class Holder:
    """Who holds a home, and what for."""

    who: Identity
    task: str


class HomeLock:
    """The lock on a home. The system lets go of it when its holder ends, however it ends.

    :param wait_s: seconds to wait for another holder.
    :raises HomeError: on entering, when another process holds it; names its pid.
    """

    def __init__(self, path: Path, task: Task, *, wait_s: float = 0.0) -> None:
        self._path = path
        self._task = task
        self._wait_s = wait_s
        self._descriptor: int | None = None

    def __enter__(self) -> HomeLock:
        with home_errors(self._path):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(descriptor)
            own = Identity.own()
            with home_errors(self._path):
                os.ftruncate(descriptor, 0)
                content = {"task": self._task, "pid": own.pid, "created": own.created}
                os.pwrite(descriptor, json.dumps(content).encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self, descriptor: int) -> None:
        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise self._held() from None
            except OSError as error:
                reason = f"it cannot be locked ({error.strerror}); choose a home on a local disk"
                raise HomeError(f"{self._path}: {reason}") from None
            time.sleep(_PAUSE_S)

    def _held(self) -> HomeError:
        holder = lock_holder(self._path)
        pid = holder.who.pid if holder else "unknown"
        if holder and holder.task == "down":
            return HomeError(
                f"{self._path.parent} is being stopped (pid {pid}); wait for it, then run the command again"
            )
        advice = "`longshore status` shows what runs, `longshore down` stops it"
        return HomeError(f"{self._path.parent} is already up (pid {pid}); {advice}")


def lock_holder(path: Path) -> Holder | None:
    """Who holds the lock at ``path``; ``None`` when nobody that is alive does."""
    try:
        content = json.loads(path.read_text())
        holder = Holder(Identity(int(content["pid"]), float(content["created"])), str(content["task"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return holder if holder.who.find() else None
