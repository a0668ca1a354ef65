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

    #: Rows of all shards that it has had.
    total: int = 0
    #: Of these, rows that are done, those that earlier attempts have done among them.
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


class SessionReporter(PeriodicReports):
    """Reports the progress of a session once a second.

    :param send: takes each report.
    """

    def __init__(self, send: Callable[[TaskProgress], None], counts: SessionCounts) -> None:
        super().__init__()
        self._send = send
        self._counts = counts
        self._reported = (0, 0, 0)

    def report(self, seconds: float) -> bool:
        """See :meth:`PeriodicReports.report`."""
        current = (self._counts.rows, self._counts.prompt_tokens, self._counts.generated_tokens)
        if current == self._reported:
            return False
        rows, read, written = ((new - old) / seconds for new, old in zip(current, self._reported, strict=True))
        self._send(TaskProgress(current[0], self._counts.total, rows, tokens_in_s=read, tokens_out_s=written))
        self._reported = current
        return True
