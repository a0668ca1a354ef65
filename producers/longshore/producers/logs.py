"""The logs of a job's attempts, as its producer reads them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import JobRecord
from longshore.shared.ledger.shards.logs import PARTS_PER_PAGE, LogPart, Logs

#: Seconds between two reads of the logs of a job that runs.
POLL_INTERVAL_S: Final = 0.5
#: Seconds after the end of a job in which its workers still write the last lines.
LAST_LINES_S: Final = 1.0
#: Parts that were written this much earlier than the newest may become visible after it.
_OVERLAP: Final = timedelta(seconds=10)
_BEGINNING: Final = (-1, -1, -1)
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LogLine:
    """One line of the log of an attempt."""

    shard: int
    attempt: int
    #: UTC; ``None`` for the line that says how much was left out.
    time: datetime | None
    #: Of a log record, such as ``INFO``; ``OUT`` and ``ERR`` for what was printed; empty where lines were left out.
    level: str
    text: str

    def __str__(self) -> str:
        if self.time is None:
            return self.text
        return f"{self.time:%Y-%m-%dT%H:%M:%S}Z {self.level} {self.text}"


class JobLogReader:
    """Reads the logs of one job, a page at a time.

    :param shard: read only that shard's; default: all.
    :param attempt: read only attempts of that number; default: all.
    :raises InvalidInput: ``shard`` is below 0 or ``attempt`` below 1.
    """

    def __init__(self, logs: Logs, job: UUID, shard: int | None, attempt: int | None) -> None:
        if shard is not None and shard < 0:
            raise InvalidInput("shard", f"{shard}: shards are counted from 0")
        if attempt is not None and attempt < 1:
            raise InvalidInput("attempt", f"{attempt}: attempts are counted from 1")
        self._logs = logs
        self._job = job
        self._shard, self._attempt = shard, attempt
        self._after = _BEGINNING
        self._since = self._newest = _EVER
        self._read: dict[tuple[int, int, int], datetime] = {}
        #: Where the log of each attempt goes on.
        self._stops: dict[tuple[int, int], int] = {}

    def page(self) -> list[LogPart]:
        """The next parts; none if all were read. The call after that looks for parts that were added since."""
        while True:
            parts = self._logs.parts(
                self._job, shard=self._shard, attempt=self._attempt, after=self._after, since=self._since
            )
            new = [part for part in parts if part.key not in self._read]
            self._read |= {part.key: part.written_at for part in new}
            self._newest = max([self._newest, *(part.written_at for part in new)])
            if len(parts) < PARTS_PER_PAGE:
                break
            self._after = parts[-1].key
            if new:
                return new
        self._after = _BEGINNING
        if self._newest > _EVER:
            self._since = self._newest - _OVERLAP
        self._read = {key: written for key, written in self._read.items() if written > self._since}
        return new

    def lines(self) -> list[LogLine]:
        """As :meth:`page`, by line."""
        return [line for part in self.page() for line in self._lines(part)]

    def _lines(self, part: LogPart) -> Iterator[LogLine]:
        attempt = part.shard, part.attempt
        if (left_out := part.start - self._stops.get(attempt, 0)) > 0:
            yield LogLine(*attempt, None, "", f"... {left_out:,} characters left out ...")
        self._stops[attempt] = part.start + len(part.text)
        for line in part.text.removesuffix("\n").split("\n"):
            moment, level, text = (*line.split(" ", 2), "", "")[:3]
            yield LogLine(*attempt, datetime.fromisoformat(moment), level, text)


class LogSteps:
    """Reads the logs of a job to their end, in steps that do not wait.

    :param record: reads the record of the job.
    :param follow: the end is that of the job, and not that of the lines so far.
    """

    def __init__(self, reader: JobLogReader, record: Callable[[], JobRecord], *, follow: bool) -> None:
        self._reader = reader
        self._record = record
        self._follow = follow
        self._ended_at: float | None = None

    def next(self) -> list[LogLine] | None:
        """The next lines; none if the caller has to wait for :data:`POLL_INTERVAL_S`; ``None`` at the end."""
        if self._follow and self._ended_at is None and self._record().state.final:
            self._ended_at = time.monotonic()
        if lines := self._reader.lines():
            return lines
        ended = self._ended_at is not None and time.monotonic() > self._ended_at + LAST_LINES_S
        return None if ended or not self._follow else []

    def __iter__(self) -> Generator[LogLine, None, None]:
        while (lines := self.next()) is not None:
            yield from lines
            if not lines:
                time.sleep(POLL_INTERVAL_S)
