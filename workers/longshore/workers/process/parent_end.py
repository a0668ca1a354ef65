"""Ends a process when its parent ends, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

#: The variable that names the parent of a worker: it may have ended before the worker asks.
PARENT_VARIABLE = "LONGSHORE_WORKER_PARENT_PID"
_PR_SET_PDEATHSIG = 1


def request_signal(number: signal.Signals) -> None:
    """Have the system send this process a signal when its parent ends. Only Linux can; elsewhere nothing happens.

    https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def parent_has_ended() -> bool:
    """Whether the process that :data:`PARENT_VARIABLE` names is not the parent any more. False without the variable."""
    parent = os.environ.get(PARENT_VARIABLE)
    return parent is not None and parent != str(os.getppid())
