"""Tokens of a job that generates text, wherever it is shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from longshore.producers.cli.views.job_list import job_columns
from longshore.producers.cli.views.job_view import summary
from longshore.producers.documents.jobs import job_document
from longshore.producers.reporting.activity.devices import progress_text
from longshore.producers.reporting.live_line import live_line
from longshore.producers.reporting.progress import TokenRates, progress_of
from longshore.producers.reporting.tokens import TokenUsage, token_usage
from longshore.shared.ledger.records import JobRecord
from longshore.shared.vocabulary import State

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
#: Half of it done in ten seconds: 5 rows a second, each with 100 tokens in and 20 out.
RUNNING = JobRecord(
    id=UUID("01890a5d-ac96-774b-bcce-b302099a8057"), kind="generate", state=State.RUNNING, producer="me", queue="cpu",
    priority=4, spec={"data": {"block": "b", "offset": 0, "rows": 100}}, model="chat", version=3, digest=None,
    rows_total=100, rows_done=49, rows_failed=1, shards_total=1, shards_done=0, shards_failed=0, outcome=None,
    error=None, created_at=NOW, started_at=NOW, finished_at=None, deadline=None,
    read_at=NOW + timedelta(seconds=10),
    usage={"prompt_tokens": 5000, "completion_tokens": 1000, "cached_tokens": 40},
)  # fmt: skip


def test_tokens_and_their_rates() -> None:
    progress = progress_of(RUNNING)
    assert token_usage(RUNNING) == TokenUsage(5000, 1000, 40)
    assert progress.token_rates == TokenRates(500, 100)
    assert progress.with_rate(10).token_rates == TokenRates(1000, 200)
    assert progress_of(replace(RUNNING, usage=None)).token_rates is None
    assert progress_of(replace(RUNNING, rows_done=0, rows_failed=0)).token_rates is None


def test_a_retry_counts_the_speed_of_later_rows_alone() -> None:
    again = replace(RUNNING, rows_before_retry=40)
    assert progress_of(again).token_rates == TokenRates(100, 20)


def test_where_a_job_is_shown() -> None:
    fields = summary(RUNNING)
    assert fields["speed"] == "5 rows/s, 500 tokens/s in, 100 out"
    assert str(fields["tokens"]) == "5,000 in (40 cached), 1,000 out"
    line = live_line(RUNNING, progress_of(RUNNING), {})
    assert line.metrics == ("500 tokens/s in", "100 out")
    assert line.remaining == "10s left"
    assert progress_text(RUNNING) == "50 of 100 rows, 500 tokens/s in, 100 out"
    tokens = next(column for column in job_columns({}) if column.name == "tokens")
    assert [tokens.text(each) for each in (RUNNING, replace(RUNNING, usage=None))] == ["100 tokens/s", ""]
    document = job_document(RUNNING)
    assert document.usage == RUNNING.usage
    assert document.token_rates == TokenRates(500, 100)


def test_rows_that_were_not_run_are_named() -> None:
    expired = replace(RUNNING, state=State.FAILED, outcome={"expired": True, "rows_not_run": 1200})
    assert summary(expired)["not run"] == "1,200 rows; a retry goes on with them"
    assert summary(RUNNING)["not run"] is None
