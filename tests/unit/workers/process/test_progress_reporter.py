"""What monitors are told of a task that runs."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from uuid import UUID

import pytest
from celery import Celery

from longshore.shared.ledger.records import Claim
from longshore.workers.process.progress_reporter import ProgressEvents, ProgressReporter, TaskProgress
from tests.waiting import TIMEOUT_S


@dataclass
class Count:
    """Rows that were computed."""

    rows: int = 0


def claim(kind: str = "infer", *, only_failed: bool = False) -> Claim:
    """Of a hundred rows."""
    return Claim(
        job_id=UUID(int=1),
        shard=0,
        attempt=1,
        attempt_limit=3,
        action=kind,
        start=100,
        stop=200,
        offset=None,
        length=None,
        kind=kind,
        spec={},
        model="digits",
        version=1,
        digest=None,
        rows_per_shard=None,
        max_attempts=3,
        producer="tests",
        queue="cpu",
        priority=4,
        only_failed=only_failed,
    )


def test_it_is_told_whenever_rows_were_computed_and_never_after_the_end() -> None:
    told: queue.Queue[TaskProgress] = queue.Queue()
    count = Count(10)
    with ProgressReporter(told.put, claim(), count, interval=0.001):
        first = told.get(timeout=TIMEOUT_S)
        count.rows = 30
        second = told.get(timeout=TIMEOUT_S)
    count.rows = 50
    assert (first.rows, first.total, second.rows, second.total) == (10, 100, 30, 100)
    assert first.rate > 0
    assert second.rate > 0
    assert told.empty()


def test_a_short_task_tells_nothing() -> None:
    told: list[TaskProgress] = []
    with ProgressReporter(told.append, claim(), Count(10), interval=TIMEOUT_S):
        pass
    assert told == []


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (TaskProgress(4096, 100_000, 3200.4), "4,096 of 100,000 rows, 3,200 rows/s"),
        (TaskProgress(7, None, 0.123), "7 rows, 0.12 rows/s"),
        (TaskProgress(1, 20, 0.5, "epochs"), "1 of 20 epochs, 0.5 epochs/s"),
        (
            TaskProgress(64, 256, 12.5, tokens_in_s=1500.4, tokens_out_s=310.2),
            "64 of 256 rows, 12 rows/s, 1,500 tokens/s in, 310 out",
        ),
        (
            TaskProgress(64, 256, 12.5, remaining=15.4, tokens_in_s=15.0, tokens_out_s=310.2),
            "64 of 256 rows, 12 rows/s, 15 s left, 15 tokens/s in, 310 out",
        ),
    ],
)
def test_it_is_told_in_one_line(told: TaskProgress, text: str) -> None:
    assert told.text == text


@pytest.mark.parametrize(
    ("of", "total", "unit"),
    [(claim("train"), 100, "epochs"), (claim(only_failed=True), None, "rows")],
)
def test_epochs_are_called_so_and_a_total_that_is_not_known_is_left_out(
    of: Claim, total: int | None, unit: str
) -> None:
    told: queue.Queue[TaskProgress] = queue.Queue()
    with ProgressReporter(told.put, of, Count(3), interval=0.001):
        found = told.get(timeout=TIMEOUT_S)
    assert (found.total, found.unit) == (total, unit)


def test_a_redis_that_is_not_there_ends_nothing() -> None:
    app = Celery("tests", broker="redis://127.0.0.1:1/0", set_as_current=False)
    app.conf.broker_transport_options = {"max_retries": 0}
    ProgressEvents(app, "cpu:0@tests").send(str(UUID(int=1)), TaskProgress(1, 2, 3.0))
    app.close()
