"""What a session has done so far, for monitors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from longshore.workers.generate.engines.base import EngineStep
from longshore.workers.process.monitoring.cells import Count, WorkerMetrics
from longshore.workers.process.progress_reporter import PeriodicReports, TaskProgress


@dataclass
class SessionCounts:
    """Counted by the session's thread, and read by others."""

    #: Rows of all shards that it has had, without those that it did not run because their shard was lost.
    total: int = 0
    #: Of these, rows that earlier attempts have done. Counted by the thread that reads.
    kept: int = 0
    #: Of these, rows that it has done.
    rows: int = 0
    #: Tokens of prompts that were computed, and tokens that were generated.
    prompt_tokens: int = 0
    generated_tokens: int = 0

    def add(self, step: EngineStep, metrics: WorkerMetrics) -> None:
        """Count a step of the engine."""
        self.prompt_tokens += step.prompt_tokens
        self.generated_tokens += step.generated_tokens
        metrics.count(Count.PROMPT_TOKENS, step.prompt_tokens)
        metrics.count(Count.GENERATED_TOKENS, step.generated_tokens)

    def summary(self, seconds: float) -> str:
        """``5,000 tokens in, 1,000 out, in 10.0 s: 500 tokens/s in, 100 out``."""
        tokens = (self.prompt_tokens, self.generated_tokens)
        prompt, generated = (count / max(seconds, 0.001) for count in tokens)
        return (
            f"{tokens[0]:,} tokens in, {tokens[1]:,} out, in {seconds:,.1f} s: "
            f"{prompt:,.0f} tokens/s in, {generated:,.0f} out"
        )


class SessionReporter(PeriodicReports):
    """Reports the progress of a session once a second.

    :param send: takes each report.
    """

    def __init__(self, send: Callable[[TaskProgress], None], counts: SessionCounts) -> None:
        super().__init__()
        self._send = send
        self._counts = counts
        self._reported = (0, 0, 0)
        self._seconds = 0.0

    def report(self, seconds: float) -> bool:
        """See :meth:`PeriodicReports.report`."""
        current = (self._counts.rows, self._counts.prompt_tokens, self._counts.generated_tokens)
        if current == self._reported:
            return False
        rows, read, written = ((new - old) / seconds for new, old in zip(current, self._reported, strict=True))
        self._seconds += seconds
        total, done = self._counts.total, self._counts.kept + current[0]
        remaining = max(total - done, 0) * self._seconds / current[0] if current[0] else None
        self._send(TaskProgress(done, total, rows, remaining=remaining, tokens_in_s=read, tokens_out_s=written))
        self._reported = current
        return True
