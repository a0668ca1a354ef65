"""What a session has done so far, for monitors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from longshore.workers.generate.engines.base import EngineStep
from longshore.workers.process.monitoring.cells import Count, WorkerMetrics
from longshore.workers.process.progress_reporter import REPORT_INTERVAL_S, STOP_TIMEOUT_S, TaskProgress


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


class SessionReporter:
    """Reports the progress of a session once a second, in a thread; a context manager.

    :param send: takes each report.
    """

    def __init__(self, send: Callable[[TaskProgress], None], counts: SessionCounts) -> None:
        self._send = send
        self._counts = counts
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> SessionReporter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        counts, last = self._counts, (0, 0, 0)
        last_time = time.monotonic()
        while not self._stopped.wait(REPORT_INTERVAL_S):
            now, current = time.monotonic(), (counts.rows, counts.prompt_tokens, counts.generated_tokens)
            if current == last:
                continue
            rows, read, written = ((new - old) / (now - last_time) for new, old in zip(current, last, strict=True))
            self._send(TaskProgress(current[0], counts.total, rows, tokens_in_s=read, tokens_out_s=written))
            last, last_time = current, now
