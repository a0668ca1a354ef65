"""Ends a process of a training when its worker ends."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from pathlib import Path


def end_with_worker(folder: Path | None = None) -> None:
    """End this process as soon as its standard input is closed.

    Only the worker's child holds the other end of that pipe, and the system closes it when the child ends, even by
    SIGKILL. All processes of a training wait on the same pipe.

    :param folder: removed first, because the child can no longer remove it.
    """
    threading.Thread(target=_wait, args=(folder,), name="lifeline", daemon=True).start()


def _wait(folder: Path | None) -> None:
    while os.read(0, 1):
        pass
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGKILL)
