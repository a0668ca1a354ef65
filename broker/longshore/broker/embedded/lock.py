"""The lock of a home: only one ``up`` or ``down`` runs in it at a time."""

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

#: Seconds between two tries to take a lock that another process has.
_RETRY_INTERVAL_S = 0.05

Command = Literal["up", "down"]


@dataclass(frozen=True)
class Holder:
    """The process that has locked a home, and the command it runs."""

    identity: Identity
    command: str


class HomeLock:
    """The lock of a home. The operating system releases it when its holder ends, however it ends.

    :param wait_s: seconds to wait for another holder.
    :raises HomeError: on entering, if another process has the lock; names its pid.
    """

    def __init__(self, path: Path, command: Command, *, wait_s: float = 0.0) -> None:
        self._path = path
        self._command = command
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
                content = {"task": self._command, **own.as_json()}
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
                    raise self._busy_error() from None
            except OSError as error:
                reason = f"it cannot be locked ({error.strerror}); choose a home on a local disk"
                raise HomeError(f"{self._path}: {reason}") from None
            time.sleep(_RETRY_INTERVAL_S)

    def _busy_error(self) -> HomeError:
        holder = lock_holder(self._path)
        pid = holder.identity.pid if holder else "unknown"
        if holder and holder.command == "down":
            return HomeError(
                f"{self._path.parent} is being stopped (pid {pid}); wait for it, then run the command again"
            )
        advice = "`longshore status` shows what runs, `longshore down` stops it"
        return HomeError(f"{self._path.parent} is already up (pid {pid}); {advice}")


def lock_holder(path: Path) -> Holder | None:
    """The holder of the lock at ``path``; ``None`` if no live process has it."""
    try:
        content = json.loads(path.read_text())
        holder = Holder(Identity.read(content), str(content["task"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return holder if holder.identity.find() else None
