"""What monitors are told of a session that generates."""

from __future__ import annotations

from longshore.workers.generate.session.progress import SessionCounts, SessionReporter
from longshore.workers.process.progress_reporter import TaskProgress


def test_rows_of_earlier_attempts_are_done_and_make_it_no_faster() -> None:
    reports: list[TaskProgress] = []
    counts = SessionCounts(total=100, kept=40)
    reporter = SessionReporter(reports.append, counts)
    assert not reporter.report(1.0)
    counts.prompt_tokens = 50
    assert reporter.report(2.0)
    counts.rows, counts.prompt_tokens, counts.generated_tokens = 12, 250, 120
    assert reporter.report(4.0)
    assert reports == [
        TaskProgress(40, 100, 0.0, remaining=None, tokens_in_s=25.0, tokens_out_s=0.0),
        TaskProgress(52, 100, 3.0, remaining=24.0, tokens_in_s=50.0, tokens_out_s=30.0),
    ]
    assert counts.summary(6.0) == "250 tokens in, 120 out, in 6.0 s: 42 tokens/s in, 20 out"
