"""Collects what attempts say, and writes it to the ledger beside the computation.

A log never makes an attempt fail or wait: a thread writes it, and what cannot be written is dropped.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from longshore.broker.logs import attempt_of
from longshore.broker.outages import Outage
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.workers.batching.async_commit import COMMIT_THREAD
from longshore.workers.process.logs.attempt_log import AttemptLog
from longshore.workers.process.logs.printed import Printed
from longshore.workers.process.watchdog.show import Shown

log = logging.getLogger(__name__)

#: Seconds between two writes of the log of an attempt that runs.
WRITE_INTERVAL_S: Final = 1.0
#: Seconds that a worker's child that ends waits for the last log.
CLOSE_TIMEOUT_S: Final = 2.0
#: Logs of ended attempts that wait to be written; more are dropped.
MAX_ENDED_LOGS: Final = 16
_THREAD: Final = "attempt logs"
#: The loggers of the lines that every attempt writes.
_USUAL: Final = frozenset(
    ("longshore.workers.execution", "longshore.workers.attempt_ends", "longshore.workers.generate.session.loop")
)


class AttemptLogs:
    """The logs of the attempts that run, and of those that have just ended.

    Attempts that run in a batch have no log. Of several that run side by side, each has the lines that are about it,
    and those that are about none. One that could have run in a batch has one only if it says more than when it began
    and ended, takes longer than :data:`WRITE_INTERVAL_S`, or was tried before: small jobs pay nothing for logs.

    :param shown: gets what is printed, too, for the last words of a process that is killed.
    """

    def __init__(self, ledger: Ledger, shown: Shown) -> None:
        self._ledger = ledger
        self._shown = shown
        #: Of the attempts that run, by their tokens. It is replaced, and never changed.
        self._current: dict[str, AttemptLog] = {}
        self._ended: queue.Queue[AttemptLog | None] = queue.Queue(MAX_ENDED_LOGS)
        self._outage = Outage("writing the logs of attempts", log)
        self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)

    def install(self) -> None:
        """Collect what this process logs and prints from now on."""
        logging.getLogger().addHandler(_RecordHandler(self))
        Printed.replace(self._print)
        self._thread.start()

    @contextmanager
    def of(self, claim: Claim) -> Iterator[None]:
        """Collect the log of this attempt."""
        current = AttemptLog(claim, quiet=claim.batch_key is not None and claim.attempt == 1)
        self._current = {**self._current, claim.token: current}
        try:
            yield
        finally:
            self._current = {token: each for token, each in self._current.items() if token != claim.token}
            if current.worth_writing and self._thread.is_alive():
                try:
                    self._ended.put_nowait(current)
                except queue.Full:
                    self._outage.began("logs of attempts are dropped: Postgres takes them too slowly")

    def close(self) -> None:
        """Write what is left, if that takes no longer than :data:`CLOSE_TIMEOUT_S`."""
        if self._thread.is_alive():
            try:
                self._ended.put(None, timeout=CLOSE_TIMEOUT_S)
            except queue.Full:
                return
            self._thread.join(CLOSE_TIMEOUT_S)

    def record(self, record: logging.LogRecord, text: str) -> None:
        """Add a log record to the logs of the attempts that run, unless a thread wrote it that serves others."""
        if (record.threadName or "").startswith((COMMIT_THREAD, _THREAD)):
            return
        usual = record.name in _USUAL and record.levelno <= logging.INFO
        current = self._current
        about = attempt_of(record)
        for log_of in current.values() if about is None else filter(None, [current.get(about)]):
            log_of.add(record.levelname, text, usual=usual)

    def say(self, *texts: str) -> None:
        """Add lines to the logs of the attempts that run, and not to that of the worker."""
        for current in self._current.values():
            for text in texts:
                current.add("INFO", text)

    def _print(self, stream: str, line: str) -> None:
        if current := self._current:
            for each in current.values():
                each.add(stream, line)
            self._shown.line(line)

    def _run(self) -> None:
        while True:
            try:
                ended = self._ended.get(timeout=WRITE_INTERVAL_S)
            except queue.Empty:
                for current in self._current.values():
                    if current.worth_writing or current.age > WRITE_INTERVAL_S:
                        current.speak()
                        self._write(current)
                continue
            if ended is None:
                return
            self._write(ended)

    def _write(self, attempt_log: AttemptLog) -> None:
        parts = attempt_log.take()
        try:
            self._ledger.logs.add(attempt_log.attempt, parts)
        except Exception as error:  # whatever it is, it must not end this thread
            self._outage.began(f"lines of the logs of attempts are dropped: {type(error).__name__}: {error}")
        else:
            self._outage.ended()


class _RecordHandler(logging.Handler):
    def __init__(self, logs: AttemptLogs) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._logs.record(record, self.format(record))
        except Exception:
            self.handleError(record)
