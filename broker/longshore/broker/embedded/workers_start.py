"""Whether the workers of a home have started: a cluster that is up can run jobs."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from longshore.broker.embedded.home import Home
from longshore.broker.embedded.report import ended_workers
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger

#: Seconds for all workers to report. Each imports PyTorch and looks at its device.
WORKERS_TIMEOUT_S: Final = 120.0


class WorkersStart:
    """Looks for workers that have reported since it was made; a context manager.

    :param database_url: with a login that may list workers.
    :param count: how many workers are started.
    """

    def __init__(self, home: Home, database_url: str, count: int) -> None:
        self._home = home
        self._ledger = Ledger(database_url, "longshore up")
        self._count = count
        self._since = datetime.now(UTC)
        self._log_bytes = log.stat().st_size if (log := home.log("workers")).exists() else 0
        self._deadline = time.monotonic() + WORKERS_TIMEOUT_S
        #: How many have not reported.
        self.missing = count

    def settled(self) -> bool:
        """Whether all have reported; or one has ended instead, or they take too long."""
        try:
            workers = self._ledger.workers.workers()
        except ServiceUnavailable:  # it was started again
            workers = []
        here = socket.gethostname()
        reported = sum(1 for worker in workers if worker.host == here and worker.seen_at >= self._since)
        self.missing = max(self._count - reported, 0)
        return (
            not self.missing
            or time.monotonic() > self._deadline
            or ended_workers(self._home, since_byte=self._log_bytes)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.close()
