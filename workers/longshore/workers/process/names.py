"""The names of this machine's workers: one for each that runs, and the same one again after a restart.

The name ends with the host, so two workers can only want the same one on one host: of two supervisors there, each with
a worker on the CPU. A name is taken as long as the supervisor that has taken it lives, however it ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import platform
import socket
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

_PREFIX: Final = "longshore-worker-"


class WorkerNames:
    """The names that one supervisor has taken.

    :param cluster: the workers of different clusters can have the same names.
    """

    def __init__(self, cluster: str, host: str | None = None) -> None:
        self._cluster = cluster
        self._host = socket.gethostname() if host is None else host
        self._taken = ExitStack()

    def take(self, device: str) -> str:
        """The name of a worker on this device: ``cpu:0@host``, or ``cpu:0.2@host`` if another process has that."""
        for number in itertools.count(1):
            name = f"{device}@{self._host}" if number == 1 else f"{device}.{number}@{self._host}"
            digest = hashlib.sha256(f"{self._cluster} {name}".encode()).hexdigest()[:32]
            if (give_back := _hold(digest)) is not None:
                self._taken.callback(give_back)
                return name
        raise AssertionError("the numbers do not end")

    def close(self) -> None:
        """Give the names back."""
        self._taken.close()


def _hold(digest: str) -> Callable[[], None] | None:
    """Hold a name until the returned function is called or this process ends; ``None`` if another process holds it."""
    if platform.system() == "Linux":
        # No file is left behind, other users see it, and containers share it if they share the name of their host:
        # https://man7.org/linux/man-pages/man7/unix.7.html ("Abstract sockets")
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            holder.bind(f"\0{_PREFIX}{digest}")
        except OSError:
            holder.close()
            return None
        return holder.close
    descriptor = os.open(Path(tempfile.gettempdir(), f"{_PREFIX}{os.getuid()}-{digest}"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return partial(os.close, descriptor)
