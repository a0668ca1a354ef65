"""The log of one attempt, until it is written to the ledger."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from longshore.shared.ledger.records import AttemptId
from longshore.shared.ledger.shards.logs import MAX_HEAD_CHARS, MAX_PART_CHARS, MAX_TAIL_CHARS, NewLogPart
from longshore.workers.process.watchdog.reasons import redact

#: Characters of a line, at most.
MAX_LINE_CHARS: Final = 4096


class AttemptLog:
    """Collects lines, and forgets those in the middle that nobody has taken. Safe to share between threads.

    :param quiet: keep no log of an attempt that says nothing but when it began and ended.
    """

    def __init__(self, attempt: AttemptId, *, quiet: bool) -> None:
        self.attempt = attempt
        self._began_at = time.monotonic()
        self._quiet = quiet
        self._head: list[NewLogPart] = []
        self._tail: deque[NewLogPart] = deque()
        self._tail_chars = 0
        self._position = 0
        self._lock = threading.Lock()

    @property
    def worth_writing(self) -> bool:
        """Whether it has something to say."""
        return not self._quiet

    @property
    def age(self) -> float:
        """Seconds since the attempt began."""
        return time.monotonic() - self._began_at

    def speak(self) -> None:
        """Keep the log, whatever it says."""
        self._quiet = False

    def add(self, level: str, text: str, *, usual: bool = False) -> None:
        """Add lines.

        :param level: such as ``INFO``; ``OUT`` and ``ERR`` for what was printed.
        :param usual: every attempt says this.
        """
        if not usual:
            self._quiet = False
        # A progress bar rewrites its line.
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in redact(text).replace("\x00", "").split("\n")]
        with self._lock:
            for line in lines:
                self._append(log_line(level, line))

    def take(self) -> list[NewLogPart]:
        """What was added since the last call. A gap between two parts stands for lines that were left out."""
        with self._lock:
            lines = [*self._head, *self._tail]
            self._head, self._tail, self._tail_chars = [], deque(), 0
        return list(_joined(lines))

    def _append(self, text: str) -> None:
        line = NewLogPart(self._position, text)
        self._position = line.stop
        if line.start < MAX_HEAD_CHARS:
            self._head.append(line)
            return
        self._tail.append(line)
        self._tail_chars += len(text)
        while self._tail_chars > MAX_TAIL_CHARS:
            self._tail_chars -= len(self._tail.popleft().text)


def log_line(level: str, text: str) -> str:
    """A line of a log, with its moment in UTC and its line break."""
    text = text.encode("utf-8", "replace").decode()[:MAX_LINE_CHARS]
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {level} {text}\n"


def _joined(lines: Iterable[NewLogPart]) -> Iterable[NewLogPart]:
    part: list[NewLogPart] = []
    chars = 0
    for line in lines:
        if part and (line.start != part[-1].stop or chars + len(line.text) > MAX_PART_CHARS):
            yield NewLogPart(part[0].start, "".join(each.text for each in part))
            part, chars = [], 0
        part.append(line)
        chars += len(line.text)
    if part:
        yield NewLogPart(part[0].start, "".join(each.text for each in part))
