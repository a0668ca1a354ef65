"""Ends a process of a training when its worker ends."""

from __future__ import annotations

import os
import select
import shutil
import signal
import threading
import time
from pathlib import Path

#: Seconds in which the other processes of the training end, and write nothing more.
_REMOVE_TIMEOUT_S = 10.0
_RETRY_INTERVAL_S = 0.02


def end_with_worker(folder: Path | None = None) -> None:
    """End this process as soon as its standard input is closed.

    Only the worker's child holds the other end of that pipe, and the system closes it when the child ends, even by
    SIGKILL. All processes of a training wait on the same pipe.

    :param folder: removed first, because the child can no longer remove it.
    """
    threading.Thread(target=_wait, args=(folder,), name="lifeline", daemon=True).start()


def worker_has_ended() -> bool:
    """Whether this process is about to be ended, see :func:`end_with_worker`."""
    return bool(select.select([0], [], [], 0)[0])


def _wait(folder: Path | None) -> None:
    while os.read(0, 1):
        pass
    if folder is not None:
        deadline = time.monotonic() + _REMOVE_TIMEOUT_S
        shutil.rmtree(folder, ignore_errors=True)
        # Another process may have written a file into the folder while it was being removed.
        while folder.exists() and time.monotonic() < deadline:
            time.sleep(_RETRY_INTERVAL_S)
            shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGKILL)
