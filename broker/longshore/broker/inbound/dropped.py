"""Counts the messages that were dropped, and logs them: one line at first, then at most one line in ten seconds."""

from __future__ import annotations

import logging
import threading
import time

logger = logging.getLogger(__name__)

#: Seconds between two lines, so that a flood of messages is no flood of lines.
LOG_INTERVAL_S = 10.0


class DroppedMessages:
    """The messages that one process has dropped. Safe to share between threads."""

    def __init__(self, interval: float = LOG_INTERVAL_S) -> None:
        self._interval = interval
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._logged_at = float("-inf")
        self._pending = 0
        self._last = ""
        #: How many messages were dropped since the start of the process.
        self.total = 0

    def add(self, source: str, reason: str) -> None:
        """Count a message.

        :param source: where it came from: ``queue cpu``.
        :param reason: what is wrong with it; nothing of its content beyond a short name.
        """
        with self._lock:
            self.total += 1
            self._pending += 1
            self._last = f"{source}: {reason}"
            wait = self._logged_at + self._interval - time.monotonic()
            if wait <= 0:
                self._write()
            elif self._timer is None:
                self._timer = threading.Timer(wait, self._flush)
                self._timer.daemon = True
                self._timer.start()

    def _flush(self) -> None:
        with self._lock:
            self._timer = None
            if self._pending:
                self._write()

    def _write(self) -> None:
        others = f" and {self._pending - 1} more" if self._pending > 1 else ""
        logger.warning("dropped a message from %s%s (%d since the start)", self._last, others, self.total)
        self._pending = 0
        self._logged_at = time.monotonic()


#: Those of this process, of all its connections.
DROPPED = DroppedMessages()
