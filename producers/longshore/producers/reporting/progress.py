"""The progress of a job: how much is done, its speed and the time left."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace

from longshore.shared.ledger.records import JobRecord
from longshore.shared.ledger.statements.shards.speed import REPORT_DELAY_S
from longshore.shared.vocabulary import JobKind, State

#: What the progress of a kind of job counts; of other kinds, rows.
_UNITS: dict[str, str] = {
    JobKind.TRAIN: "epochs",
    JobKind.PROMOTE: "aliases",
    JobKind.TUNE: "trials",
    JobKind.CROSS_VALIDATE: "folds",
}
#: A rate below this is shown per minute, and below this per minute, per hour.
SLOW_RATE = 0.1
#: Seconds over which the speed of a watched job is averaged.
RATE_WINDOW_S = 15.0


@dataclass(frozen=True)
class TokenRates:
    """Tokens per second: of prompts, and of the texts that are generated."""

    prompt: float
    completion: float

    def __str__(self) -> str:
        return f"{self.prompt:,.0f} tokens/s in, {self.completion:,.0f} out"


@dataclass(frozen=True)
class Progress:
    """The progress of a job. It counts rows; that of a training job counts epochs (see :func:`unit`)."""

    state: State
    done: int
    #: ``None`` until the rows of the input have been counted.
    total: int | None
    #: Rows that have an error instead of a result.
    failed: int
    #: Seconds since a worker started the job, or restarted it after a retry; 0 before that.
    seconds: float
    #: Mean rows per second since then, without the rows computed before a retry. Of a job that runs, rows per second
    #: since its first batch ended, or its generation began; epochs per second since the first ended. ``None`` if it is
    #: not known.
    rate: float | None = None
    #: Seconds left at that rate; ``None`` if unknown, and after the job has ended.
    remaining: float | None = None
    #: Mean tokens of a row that is done, of its prompt and of its texts; ``None`` before the first row, and for jobs
    #: that generate no text.
    row_tokens: tuple[float, float] | None = None

    @property
    def token_rates(self) -> TokenRates | None:
        """Tokens per second at that rate; ``None`` if it is unknown, and for jobs that generate no text."""
        if self.row_tokens is None or self.rate is None:
            return None
        prompt, completion = self.row_tokens
        return TokenRates(self.rate * prompt, self.rate * completion)

    @property
    def fraction(self) -> float:
        """The completed fraction, 0 to 1."""
        if self.state is State.SUCCEEDED:
            return 1.0
        return min(self.done / self.total, 1.0) if self.total else 0.0

    def with_rate(self, rate: float | None) -> Progress:
        """A copy with another rate, and the time left at that rate."""
        remaining = None
        if rate and self.total is not None and self.state is State.RUNNING:
            remaining = max(self.total - self.done, 0) / rate
        return replace(self, rate=rate, remaining=remaining)


def progress_of(record: JobRecord) -> Progress:
    """The progress of a job, computed from its record."""
    seconds = 0.0
    if record.started_at is not None and record.state is not State.QUEUED:
        seconds = max(((record.finished_at or record.read_at) - record.started_at).total_seconds(), 0.0)
    done = max(record.rows_done + record.rows_failed + record.rows_running - _epochs_left_out(record), 0)
    progress = Progress(
        state=record.state,
        done=done,
        total=record.rows_total,
        failed=record.rows_failed,
        seconds=seconds,
        row_tokens=_row_tokens(record),
    )
    new = done - record.rows_before_retry
    if record.progress_span is None or record.state is not State.RUNNING:
        return progress.with_rate(new / seconds if new > 0 and seconds > 0 else None)
    computed, span_s, waited_s = record.progress_span
    if computed <= 0 or span_s <= 0:
        return progress
    # It is not known how long a batch takes: it is late if it takes longer than all those before it.
    step_s = span_s / computed if record.kind == JobKind.TRAIN else max(span_s, REPORT_DELAY_S)
    return _in_steps(progress, computed, span_s, step_s, waited_s)


def _in_steps(progress: Progress, done: float, span_s: float, step_s: float, waited_s: float) -> Progress:
    """The progress of a job that goes on in steps: at their speed, and without the time that the present one has run.

    :param done: how much was done in ``span_s`` seconds, in steps of ``step_s`` seconds.
    :param waited_s: seconds since the end of the last of them. A step that is overdue counts as slow.
    """
    watched = progress.with_rate(done / (span_s + max(waited_s - step_s, 0.0)))
    if watched.remaining is None:
        return watched
    return replace(watched, remaining=max(watched.remaining - min(waited_s, step_s), 0.0))


def _row_tokens(record: JobRecord) -> tuple[float, float] | None:
    rows = record.rows_done + record.rows_failed
    if record.usage is None or not rows:
        return None
    return record.usage.get("prompt_tokens", 0) / rows, record.usage.get("completion_tokens", 0) / rows


def _epochs_left_out(record: JobRecord) -> int:
    """Epochs that a training did not need, which the ledger counts as done: it stopped early."""
    trained, asked = (record.outcome or {}).get("epochs"), record.spec.get("epochs")
    if record.kind != JobKind.TRAIN or not isinstance(trained, int) or not isinstance(asked, int):
        return 0
    return max(asked - trained, 0)


class RateWindow:
    """The speed of a job over the last :data:`RATE_WINDOW_S` seconds, from samples of its progress.

    A sample is taken whenever there is progress, so that the speed of a job with rare, large steps, such as long
    epochs, does not depend on when it is looked at.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def update(self, progress: Progress, now: float | None = None) -> Progress:
        """Look at the progress. Returns it with the rate over the window, or unchanged if there was none since the
        first look or the job has ended.

        :param now: seconds of a monotonic clock; ``None`` uses ``time.monotonic()``.
        """
        moment = time.monotonic() if now is None else now
        samples = self._samples
        if samples and progress.done < samples[-1][1]:
            samples.clear()  # an attempt was lost, and its rows run again
        if not samples or progress.done > samples[-1][1]:
            if len(samples) == 1 and progress.rate:
                # The first look was somewhere between two steps: the mean speed says when the first of them began.
                before = samples[0][1]
                samples[0] = (moment - (progress.done - before) / progress.rate, before)
            samples.append((moment, progress.done))
        # Keep one sample older than the window, so that jobs that progress in rare, large steps have a rate, too.
        while len(samples) > 2 and samples[1][0] <= moment - RATE_WINDOW_S:
            samples.popleft()
        (first, before), (last, after) = samples[0], samples[-1]
        if progress.state is not State.RUNNING or last <= first:
            return progress
        step_s = (last - first) / (len(samples) - 1)
        return _in_steps(progress, after - before, last - first, step_s, moment - last)


def rate_text(rate: float | None, kind: str) -> str:
    """A rate as text, such as ``1,234 rows/s``, ``0.25 epochs/s`` or ``1.5 epochs/h``; empty if unknown."""
    if rate is None:
        return ""
    per = "s"
    for period, factor in (("min", 60), ("h", 60)):
        if rate < SLOW_RATE:
            per, rate = period, rate * factor
    return f"{rate:,.0f} {unit(kind)}/{per}" if rate >= 10 else f"{rate:.2g} {unit(kind)}/{per}"


def unit(kind: str) -> str:
    """The unit in which the progress of a kind of job is counted."""
    return _UNITS.get(kind, "rows")
