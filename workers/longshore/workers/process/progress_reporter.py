"""Telling monitors how far a task is, while it runs, by a Celery event that Flower shows with the task."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from longshore.shared.ledger.records import Claim

log = logging.getLogger("longshore.worker")

#: Seconds between two events of a task; one that ends earlier sends none.
EVERY = 1.0
#: Seconds that the end of a task waits for an event that is being sent, so that it does not come after the end.
PATIENCE = 2.0


@dataclass(frozen=True)
class Told:
    """How far a task is: numbers, and no user data."""

    rows: int
    #: ``None`` where it is not known: of rows that are run again.
    total: int | None
    #: Rows a second since the last one that was told.
    rate: float
    unit: str = "rows"

    @property
    def text(self) -> str:
        """``4,096 of 100,000 rows, 3,200 rows/s``."""
        of = "" if self.total is None else f" of {self.total:,}"
        rate = f"{self.rate:,.0f}" if self.rate >= 10 else f"{self.rate:.2g}"
        return f"{self.rows:,}{of} {self.unit}, {rate} {self.unit}/s"


class Counting(Protocol):
    """Knows how many rows were computed."""

    @property
    def rows(self) -> int:
        """So far."""


class TaskEvents:
    """Sends events as a Celery worker does.

    :param worker: the worker's name, by which monitors know it.
    """

    def __init__(self, app: Celery, worker: str) -> None:
        self._app = app
        self._worker = worker

    def send(self, task: str, told: Told) -> None:
        """One event ``task-progress``. Flower shows the field ``result``, and the state ``PROGRESS``.

        Best effort: while Redis cannot be reached, there is nobody to tell.
        """
        fields = {"rows": told.rows, "total": told.total, "rate": told.rate, "result": told.text}
        try:
            with self._app.events.default_dispatcher(hostname=self._worker) as dispatcher:
                dispatcher.send("task-progress", uuid=task, retry=False, **fields)
        except (OperationalError, RedisError, OSError) as error:
            log.debug("progress was not told: %s", type(error).__name__)


class Telling:
    """A thread that tells how far an attempt is, as a context manager around the run.

    It is not the heartbeat's: a Redis that hangs must not cost the attempt its lease.

    :param send: takes what is told.
    :param every: seconds.
    """

    def __init__(self, send: Callable[[Told], None], claim: Claim, counting: Counting, every: float = EVERY) -> None:
        self._send = send
        self._total = None if claim.only_failed else claim.stop - claim.start
        self._unit = "epochs" if claim.kind == "train" else "rows"
        self._counting = counting
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telling", daemon=True)

    def __enter__(self) -> Telling:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        before, then = 0, time.monotonic()
        while not self._over.wait(self._every):
            rows, now = self._counting.rows, time.monotonic()
            if rows > before:
                self._send(Told(rows, self._total, (rows - before) / (now - then), self._unit))
                before, then = rows, now
