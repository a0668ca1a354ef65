"""How far a job is, how fast it goes, and how long it has left."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from longshore.shared.ledger.records import JobRecord
from longshore.shared.specs.jobs import State

#: Seconds of the past that the speed of a job which is watched is taken from.
WINDOW = 15.0


@dataclass(frozen=True)
class Progress:
    """How far a job is. A training job counts epochs."""

    state: State
    done: int
    #: ``None`` while the input is being counted.
    total: int | None
    #: Rows that have an error in place of a result.
    failed: int
    #: Seconds since the first worker took it, or took it again after a retry; 0 before.
    seconds: float
    #: Rows a second: the mean since then, of rows computed since then. ``None`` before the first.
    rate: float | None = None
    #: Seconds it has left at that rate; ``None`` while that is unknown, and once the job has ended.
    remaining: float | None = None

    @property
    def fraction(self) -> float:
        """0 to 1."""
        if self.state is State.SUCCEEDED:
            return 1.0
        return min(self.done / self.total, 1.0) if self.total else 0.0

    def at(self, rate: float | None) -> Progress:
        """The same with another rate, and the time left at that."""
        left = None
        if rate and self.total is not None and self.state is State.RUNNING:
            left = max(self.total - self.done, 0) / rate
        return replace(self, rate=rate, remaining=left)


def progress_of(record: JobRecord) -> Progress:
    """The progress that a job's record shows."""
    seconds = 0.0
    if record.started_at is not None and record.state is not State.QUEUED:
        seconds = max(((record.finished_at or datetime.now(UTC)) - record.started_at).total_seconds(), 0.0)
    done = record.rows_done + record.rows_failed + record.rows_running
    progress = Progress(
        state=record.state, done=done, total=record.rows_total, failed=record.rows_failed, seconds=seconds
    )
    new = done - record.rows_before
    return progress.at(new / seconds if new > 0 and seconds > 0 else None)


class RateWindow:
    """The speed of a job over the last :data:`WINDOW` seconds, from looks at its progress."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def look(self, progress: Progress, now: float | None = None) -> Progress:
        """The progress at the window's rate; at its own, while the window holds no time or the job has ended.

        :param now: seconds of a clock that never goes back; ``None`` takes ``time.monotonic()``.
        """
        moment = time.monotonic() if now is None else now
        if self._looks and progress.done < self._looks[-1][1]:
            self._looks.clear()  # an attempt was lost, and its rows are run again
        self._looks.append((moment, progress.done))
        # One look older than the window stays, so that rows which come in rare, large steps have a rate too.
        while len(self._looks) > 2 and self._looks[1][0] <= moment - WINDOW:
            self._looks.popleft()
        (first, before), (last, after) = self._looks[0], self._looks[-1]
        if progress.state is not State.RUNNING or last <= first or after == before:
            return progress
        return progress.at((after - before) / (last - first))


def rate_text(rate: float | None, kind: str) -> str:
    """``1,234 rows/s``, ``0.25 epochs/s``; nothing where it is unknown."""
    if rate is None:
        return ""
    return f"{rate:,.0f} {unit(kind)}/s" if rate >= 10 else f"{rate:.2g} {unit(kind)}/s"


def time_text(seconds: float | None) -> str:
    """``48s``, ``3m 20s``, ``5h 10m``, ``2d 4h``; nothing where it is unknown."""
    if seconds is None:
        return ""
    whole = round(seconds)
    for size, big, small, unit_size in ((86400, "d", "h", 3600), (3600, "h", "m", 60), (60, "m", "s", 1)):
        if whole >= size:
            return f"{whole // size}{big} {whole % size // unit_size}{small}"
    return f"{whole}s"


def unit(kind: str) -> str:
    """What a job of a kind counts."""
    return {"train": "epochs", "promote": "aliases", "tune": "trials", "cross_validate": "folds"}.get(kind, "rows")
