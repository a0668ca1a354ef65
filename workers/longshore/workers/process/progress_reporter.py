"""Reports the progress of a running task to monitors, as a Celery event that Flower shows with the task."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from longshore.shared.ledger.records import Claim
from longshore.shared.vocabulary import JobKind

log = logging.getLogger(__name__)

#: Seconds between two events of a task. A shorter task reports no progress.
REPORT_INTERVAL_S = 1.0
#: Seconds that the end of a task waits for an event being sent, so that no event comes after the end.
STOP_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class TaskProgress:
    """The progress of a task: numbers, and no user data."""

    rows: int
    #: ``None`` if it is not known: when failed rows run again.
    total: int | None
    #: Rows per second since the last report.
    rate: float
    unit: str = "rows"
    #: Seconds left; ``None`` if it is not known.
    remaining: float | None = None
    #: Tokens of prompts, and of texts, per second since the last report; ``None`` if the job generates no text.
    tokens_in_s: float | None = None
    tokens_out_s: float | None = None

    @property
    def text(self) -> str:
        """``4,096 of 100,000 rows, 3,200 rows/s``."""
        of = "" if self.total is None else f" of {self.total:,}"
        rate = f"{self.rate:,.0f}" if self.rate >= 10 else f"{self.rate:.2g}"
        text = f"{self.rows:,}{of} {self.unit}, {rate} {self.unit}/s"
        if self.remaining is not None:
            text += f", {self.remaining:,.0f} s left"
        if self.tokens_in_s is None or self.tokens_out_s is None:
            return text
        return f"{text}, {self.tokens_in_s:,.0f} tokens/s in, {self.tokens_out_s:,.0f} out"


class RowCounter(Protocol):
    """Counts computed rows."""

    @property
    def rows(self) -> int:
        """Rows computed so far."""


class ProgressEvents:
    """Sends events as a Celery worker does.

    :param worker: the worker's name, by which monitors know it.
    """

    def __init__(self, app: Celery, worker: str) -> None:
        self._app = app
        self._worker = worker

    def send(self, task: str, progress: TaskProgress) -> None:
        """Send one event ``task-progress``. Flower shows the field ``result``, and the state ``PROGRESS``.

        Best effort: if Redis cannot be reached, the event is dropped.
        """
        fields = {"rows": progress.rows, "total": progress.total, "rate": progress.rate, "result": progress.text}
        if progress.tokens_in_s is not None:
            fields["remaining"] = progress.remaining
            fields |= {"tokens_in_s": progress.tokens_in_s, "tokens_out_s": progress.tokens_out_s}
        try:
            with self._app.events.default_dispatcher(hostname=self._worker) as dispatcher:
                dispatcher.send("task-progress", uuid=task, retry=False, **fields)
        except (OperationalError, RedisError, OSError) as error:
            log.debug("progress was not reported: %s", type(error).__name__)


class PeriodicReports(ABC):
    """Reports in a thread, at an interval; a context manager.

    The thread is not the heartbeat's: a Redis that hangs must not cost the attempt its lease.

    :param interval: seconds between two reports.
    """

    def __init__(self, interval: float = REPORT_INTERVAL_S) -> None:
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join(STOP_TIMEOUT_S)

    @abstractmethod
    def report(self, seconds: float) -> bool:
        """Report if there was progress. Returns whether there was.

        :param seconds: since the last report, or the start.
        """

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stopped.wait(self._interval):
            now = time.monotonic()
            if self.report(now - last):
                last = now


class ProgressReporter(PeriodicReports):
    """Reports the progress of an attempt.

    :param send: takes each report.
    :param counter: counts the rows of the attempt.
    :param interval: seconds between two reports.
    """

    def __init__(
        self,
        send: Callable[[TaskProgress], None],
        claim: Claim,
        counter: RowCounter,
        interval: float = REPORT_INTERVAL_S,
    ) -> None:
        super().__init__(interval)
        self._send = send
        self._total = None if claim.only_failed else claim.stop - claim.start
        self._unit = "epochs" if claim.kind == JobKind.TRAIN else "rows"
        self._counter = counter
        self._reported = 0

    def report(self, seconds: float) -> bool:
        """See :meth:`PeriodicReports.report`."""
        rows = self._counter.rows
        if rows <= self._reported:
            return False
        self._send(TaskProgress(rows, self._total, (rows - self._reported) / seconds, self._unit))
        self._reported = rows
        return True
