"""Logs an outage with one line at its start and one at its end, however often it is noticed in between."""

from __future__ import annotations

import logging
import threading
import time


class Outage:
    """The state of one service as one process sees it. Safe to share between threads.

    :param name: the service: ``Redis``.
    :param logger: where the lines go.
    """

    def __init__(self, name: str, logger: logging.Logger) -> None:
        self._name = name
        self._logger = logger
        self._lock = threading.Lock()
        self._began_at: float | None = None
        self._reasons: set[str] = set()

    @property
    def lasts(self) -> bool:
        """Whether the service has failed, and has not worked since."""
        return self._began_at is not None

    def began(self, reason: str) -> None:
        """The service failed. Writes a line if this is the first time, or for a new reason."""
        with self._lock:
            if self._began_at is None:
                self._began_at = time.monotonic()
            if reason not in self._reasons:
                self._reasons.add(reason)
                self._logger.warning("%s; trying again", reason)

    def ended(self) -> None:
        """The service works. Writes a line if it did not before."""
        with self._lock:
            if self._began_at is not None:
                self._logger.warning("%s works again, after %.0f s", self._name, time.monotonic() - self._began_at)
            self._began_at = None
            self._reasons.clear()
