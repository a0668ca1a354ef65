"""The request that a worker stop soon: a signal sets it, and the worker checks it between two batches."""

from __future__ import annotations

import signal
from types import FrameType

from longshore.shared.errors import LongshoreError
from longshore.shared.signal_event import SignalEvent

#: The worker's parent sends it to its child to make it stop.
DRAIN_SIGNAL = signal.SIGUSR2


class HandBack(LongshoreError):
    """Release the shard and return, because the worker stops. Raised inside workers only."""


class Draining:
    """Whether this process has to stop taking work."""

    def __init__(self) -> None:
        self._requested = SignalEvent()

    def listen(self) -> None:
        """Handle the parent's signal. Call this from the main thread."""
        signal.signal(DRAIN_SIGNAL, self._on_signal)

    def request(self) -> None:
        """Request that the process stop."""
        self._requested.set()

    @property
    def requested(self) -> bool:
        """Whether a stop was requested."""
        return self._requested.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for some seconds, or until a stop is requested. Returns whether it was."""
        return self._requested.wait(seconds)

    def check(self) -> None:
        """:raises HandBack: a stop was requested."""
        if self._requested.is_set():
            raise HandBack("the worker is stopping")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.request()
