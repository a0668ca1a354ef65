"""Ending with the worker: no process of a training outlives the one that it works for."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from pathlib import Path


def end_with_worker(folder: Path | None = None) -> None:
    """End this process as soon as its standard input is closed.

    The worker's child alone holds the other end of that pipe, and the system closes it when the child ends, even by
    SIGKILL. All processes of a training wait for the same pipe.

    :param folder: removed before: what the child can no longer remove.
    """
    threading.Thread(target=_wait, args=(folder,), name="lifeline", daemon=True).start()


def _wait(folder: Path | None) -> None:
    while os.read(0, 1):
        pass
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGKILL)
