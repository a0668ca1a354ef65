"""The speed of a job and the time left, computed from its record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from longshore.producers.reporting.progress import (
    RATE_WINDOW_S,
    Progress,
    RateWindow,
    progress_of,
    rate_text,
)
from longshore.shared.ledger.records import JobRecord
from longshore.shared.vocabulary import JobKind, State

START = datetime(2026, 1, 1, tzinfo=UTC)
RECORD = JobRecord(
    **{"id": UUID(int=1), "kind": "infer", "producer": "tests", "queue": "cpu", "priority": 4, "spec": {}},  # type: ignore[arg-type]
    **{"model": "digits", "version": 1, "digest": None, "shards_total": 1, "shards_done": 0, "shards_failed": 0},  # type: ignore[arg-type]
    **{"outcome": None, "error": None, "created_at": START, "deadline": None},  # type: ignore[arg-type]
    state=State.SUCCEEDED,
    rows_total=100,
    rows_done=90,
    rows_failed=10,
    started_at=START,
    finished_at=START + timedelta(seconds=50),
    read_at=START + timedelta(seconds=100),
)


def running(done: int, total: int | None = 100) -> Progress:
    return Progress(State.RUNNING, done, total, 0, 1.0)


def test_a_job_that_has_ended_has_its_mean_speed_and_no_time_left() -> None:
    progress = progress_of(RECORD)
    assert (progress.done, progress.rate, progress.remaining, progress.seconds) == (100, 2.0, None, 50.0)


def test_the_time_of_a_running_job_is_that_of_the_ledger() -> None:
    # Whatever the clock of this machine says: it may be minutes off.
    progress = progress_of(replace(RECORD, state=State.RUNNING, finished_at=None, rows_total=200))
    assert (progress.seconds, progress.rate, progress.remaining) == (100.0, 1.0, 100.0)


@pytest.mark.parametrize(("asked", "trained", "done"), [(100, 6, 6), (100, 100, 100), (150, 106, 56), (150, 40, 0)])
def test_epochs_that_were_not_needed_are_not_done(asked: int, trained: int, done: int) -> None:
    training = replace(RECORD, kind=JobKind.TRAIN, spec={"epochs": asked}, outcome={"epochs": trained})
    progress = progress_of(replace(training, rows_done=100, rows_failed=0))
    assert (progress.done, progress.total, progress.fraction) == (done, 100, 1)
    assert progress.rate == (done / progress.seconds if done else None)


def test_rows_before_a_retry_do_not_count_for_the_speed() -> None:
    assert progress_of(replace(RECORD, rows_before_retry=95)).rate == 0.1
    assert progress_of(replace(RECORD, rows_before_retry=100)).rate is None


def test_a_training_goes_at_the_speed_of_its_epochs_and_not_of_what_came_before_them() -> None:
    """Its data were read for some time, and its last epochs took two seconds each."""
    running = replace(RECORD, kind=JobKind.TRAIN, state=State.RUNNING, finished_at=None, rows_total=40)
    running = replace(running, rows_done=0, rows_failed=0, rows_running=11)

    def shown(*span: float) -> tuple[float | None, float | None]:
        progress = progress_of(replace(running, progress_span=list(span)))
        return progress.rate, progress.remaining

    assert shown(10, 20, 0) == (0.5, 58)
    assert shown(10, 20, 1.5) == (0.5, 56.5)
    # The epoch that runs takes longer than those before it.
    assert shown(10, 20, 7) == (0.4, 70.5)
    assert progress_of(replace(running, progress_span=[10, 20, 0], state=State.CANCELLED)).remaining is None


def test_rows_go_at_the_speed_of_the_batches_after_the_first_and_not_of_what_came_before_them() -> None:
    """A model was loaded for 80 of the 100 seconds."""
    running = replace(RECORD, state=State.RUNNING, finished_at=None, rows_done=0, rows_failed=0, rows_running=50)

    def shown(*span: float) -> tuple[float | None, float | None]:
        progress = progress_of(replace(running, progress_span=list(span)))
        return progress.rate, progress.remaining

    assert shown(40, 20, 0) == (2, 25)
    assert shown(40, 20, 3) == (2, 22)
    # The batch that runs takes longer than all those before it.
    assert shown(40, 20, 40) == (1, 30)
    # A worker reports what it has computed a moment later.
    assert shown(40, 0.5, 1.5) == (80, 0)
    # There was only the first batch.
    assert shown(0, 0, 5) == (None, None)


def test_a_waiting_job_has_neither_speed_nor_time_left() -> None:
    for state, started in ((State.QUEUED, None), (State.QUEUED, START), (State.CANCELLED, None)):
        progress = progress_of(replace(RECORD, state=state, started_at=started))
        assert (progress.rate, progress.remaining, progress.seconds) == (None, None, 0.0)


def test_the_time_left_of_a_running_job_follows_from_its_speed() -> None:
    read = START + timedelta(hours=1)
    record = replace(RECORD, state=State.RUNNING, rows_done=10, rows_failed=5, finished_at=None, read_at=read)
    progress = progress_of(replace(record, rows_running=10))
    assert progress.done == 25
    assert progress.rate == pytest.approx(25 / 3600)
    assert progress.remaining == pytest.approx(3 * 3600)
    counting = progress_of(replace(record, rows_total=None))
    assert counting.rate is not None
    assert counting.remaining is None


def test_a_watched_job_shows_its_recent_speed() -> None:
    window = RateWindow()
    assert window.update(running(0), 0.0).rate is None
    assert window.update(running(10), 1.0).rate == 10.0
    for second in range(2, 60):
        window.update(running(8 + second), float(second))
    progress = window.update(running(68), 60.0)
    assert progress.rate == pytest.approx(1.0)
    assert progress.remaining == pytest.approx(32.0)


def test_progress_rarer_than_the_window_has_a_speed_too() -> None:
    window = RateWindow()
    window.update(running(0), 0.0)
    assert window.update(running(30), 3 * RATE_WINDOW_S).rate == pytest.approx(30 / (3 * RATE_WINDOW_S))
    assert window.update(running(90), 6 * RATE_WINDOW_S).rate == pytest.approx(60 / (3 * RATE_WINDOW_S))


def test_the_time_left_of_long_steps_does_not_depend_on_when_one_looks() -> None:
    window, step_s = RateWindow(), 4 * RATE_WINDOW_S
    for second in range(int(3.5 * step_s)):
        steps = int(second // step_s)
        seen = replace(running(steps, 10), rate=steps / second if steps else None)
        progress = window.update(seen, float(second))
        if steps:
            assert progress.rate == pytest.approx(1 / step_s)
            assert progress.remaining == pytest.approx(10 * step_s - second)
    overdue = window.update(running(3, 10), 6 * step_s)
    assert overdue.rate is not None
    assert overdue.rate < 1 / step_s


def test_rows_that_run_again_start_a_new_window() -> None:
    window = RateWindow()
    window.update(running(50), 0.0)
    assert window.update(running(20), 1.0).rate is None
    assert window.update(running(24), 2.0).rate == 4.0


def test_speeds_and_times_are_short() -> None:
    assert [rate_text(rate, "infer") for rate in (None, 0.123, 9.96, 1234.5)] == [
        *("", "0.12 rows/s", "10 rows/s", "1,234 rows/s"),
    ]
    assert rate_text(0.5, "train") == "0.5 epochs/s"
    assert [rate_text(0.011, "train"), rate_text(0.0005, "train")] == ["0.66 epochs/min", "1.8 epochs/h"]
