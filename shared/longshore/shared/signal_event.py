"""An event that the handler of a signal may set."""

from __future__ import annotations

from queue import Empty, SimpleQueue


class SignalEvent:
    """As :class:`threading.Event`, which deadlocks if a handler sets it while the same thread begins or ends a wait: it
    waits for a lock that the thread holds. Here nothing is locked that a handler needs: ``SimpleQueue.put`` is
    reentrant (https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put).
    """

    def __init__(self) -> None:
        self._set = False
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """End all waits, those to come too."""
        self._set = True
        self._wakes.put(None)

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._set

    def wait(self, timeout_s: float) -> bool:
        """Wait for ``timeout_s``, or until it is set. Returns whether it was."""
        if not self._set:
            try:
                self._wakes.get(timeout=max(0.0, timeout_s))
            except Empty:
                return self._set
            self._wakes.put(None)  # other threads may wait too
        return True
