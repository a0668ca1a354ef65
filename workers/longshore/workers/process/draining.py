"""The wish that a worker stop soon: set by a signal, seen between two batches."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from longshore.shared.errors import LongshoreError

#: What the worker's parent sends its child when it is asked to stop.
DRAIN_SIGNAL = signal.SIGUSR2


class HandBack(LongshoreError):
    """Give the shard back and return: the worker is stopping (inside workers)."""


class Draining:
    """Whether this process is to stop taking work."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def listen(self) -> None:
        """Take the parent's signal. Call from the main thread."""
        signal.signal(DRAIN_SIGNAL, self._on_signal)

    def ask(self) -> None:
        """Ask for it."""
        self._asked.set()

    @property
    def asked(self) -> bool:
        """It was asked for."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for so long, or until it was asked for; returns whether it was."""
        return self._asked.wait(seconds)

    def check(self) -> None:
        """:raises HandBack: it was asked for."""
        if self._asked.is_set():
            raise HandBack("the worker is stopping")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.ask()
