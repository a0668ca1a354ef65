"""The speed of a job that runs: of its rows alone, and not of what comes before them, such as loading a model."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pyarrow as pa
import pytest

from longshore.producers.reporting.progress import progress_of
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim, RowTimes
from longshore.shared.ledger.shards.batching import Finished
from longshore.shared.ledger.shards.copy_rows import result_lines
from longshore.shared.ledger.shards.row_commits import CommittedRows
from tests.integration.support import LEASE, claim, commit, end_attempt, lines, new_job

#: Seconds that a model takes to load.
LOADING_S = 1000.0


def submit(ledger: Ledger, *rows: int, kind: str = "infer") -> UUID:
    return ledger.submissions.submit([new_job(*rows, kind=kind, max_attempts=5)])[0]


def claim_and_load(ledger: Ledger, job: UUID, shard: int = 0) -> Claim:
    claimed = claim(ledger, job, shard)
    shift(ledger, job, LOADING_S)
    return claimed


def shift(ledger: Ledger, job: UUID, seconds: float) -> None:
    """Let time pass."""
    jobs = ("started_at", "computing_since", "rows_at")
    for table, key, columns in (("jobs", "id", jobs), ("shards", "job_id", ("rows_at",))):
        changes = ", ".join(f"{column} = {column} - make_interval(secs => %(seconds)s)" for column in columns)
        with ledger.database.connection() as conn:
            conn.execute(f"UPDATE {table} SET {changes} WHERE {key} = %(job)s", {"job": job, "seconds": seconds})


def renew(ledger: Ledger, of: Claim, rows: int, *, age: float = 0.0, first: tuple[int, float] = (2, 40.0)) -> None:
    times = RowTimes(first_rows=first[0], first_age_s=first[1], age_s=age)
    assert ledger.attempts.renew(of, lease=LEASE, rows=rows, changed=True, times=times)


def commit_texts(ledger: Ledger, of: Claim, rows: list[int], seconds: float) -> None:
    part = CommittedRows(claim=of, rows=len(rows), completion_tokens=10 * len(rows), seconds=seconds)
    outputs = result_lines(of.job_id, pa.array(rows, pa.int64()), pa.array(["{}"] * len(rows)))
    assert not ledger.attempts.commit_rows([part], outputs)


def rate(ledger: Ledger, job: UUID) -> float | None:
    return progress_of(ledger.queries.job(job)).rate


def about(*values: float) -> object:
    """Within what the statements themselves take: some of the 40 seconds that most of these jobs have computed."""
    return pytest.approx(values[0] if len(values) == 1 else values, rel=0.1)


def check_span(ledger: Ledger, job: UUID, rows: int, seconds: float) -> None:
    """So many rows in about so long, told just now."""
    found_rows, found_seconds, since = ledger.queries.job(job).progress_span or (0.0, 0.0, 0.0)
    assert found_rows == rows
    assert found_seconds == about(seconds)
    assert 0 <= since < seconds / 10


def test_rows_count_from_the_end_of_the_first_batch_on(ledger: Ledger) -> None:
    job = submit(ledger, 102)
    attempt = claim_and_load(ledger, job)
    renew(ledger, attempt, 2, age=40.0)
    assert rate(ledger, job) is None
    renew(ledger, attempt, 42)
    check_span(ledger, job, 40, 40)
    shift(ledger, job, 40.0)
    renew(ledger, attempt, 82, first=(2, 80.0))
    progress = progress_of(ledger.queries.job(job))
    assert (progress.rate, progress.remaining) == about(1, 20)


@pytest.mark.parametrize("end", ["expire", "fail", "release", "defer"])
def test_an_attempt_that_ends_takes_its_time_with_it(ledger: Ledger, end: str) -> None:
    job = submit(ledger, 102)
    first = claim_and_load(ledger, job)
    renew(ledger, first, 52, first=(2, 500.0))
    end_attempt(ledger, first, end)
    assert rate(ledger, job) is None
    second = claim_and_load(ledger, job)
    renew(ledger, second, 42)
    assert rate(ledger, job) == about(1)


def test_a_job_that_is_retried_begins_anew(ledger: Ledger) -> None:
    job = submit(ledger, 10, 102)
    commit(ledger, claim(ledger, job))
    attempt = claim(ledger, job, 1)
    renew(ledger, attempt, 42)
    ledger.control.cancel(job)
    ledger.control.retry(job)
    again = claim_and_load(ledger, job, 1)
    renew(ledger, again, 42)
    check_span(ledger, job, 40, 40)


def commit_small(ledger: Ledger, of: Claim) -> None:
    assert not ledger.attempts.commit_batch([Finished(of, of.stop - of.start)], lines(of))


@pytest.mark.parametrize("end", [commit, commit_small])
def test_shards_that_end_between_two_renewals_count(ledger: Ledger, end: Callable[[Ledger, Claim], None]) -> None:
    job = submit(ledger, *[10] * 4, 1000)
    end(ledger, claim_and_load(ledger, job))
    assert rate(ledger, job) is None
    shift(ledger, job, 100.0)
    for shard in (1, 2, 3):
        end(ledger, claim(ledger, job, shard))
    assert rate(ledger, job) == about(0.3)
    renew(ledger, claim(ledger, job, 4), 20)
    check_span(ledger, job, 50, 100)


def test_texts_count_from_when_the_engine_had_the_first(ledger: Ledger) -> None:
    job = submit(ledger, 100, kind="generate")
    attempt = claim_and_load(ledger, job)
    commit_texts(ledger, attempt, [0, 1, 2, 3], seconds=20.0)
    assert rate(ledger, job) == about(0.2)
    shift(ledger, job, 20.0)
    commit_texts(ledger, attempt, list(range(4, 40)), seconds=40.0)
    progress = progress_of(ledger.queries.job(job))
    assert (progress.rate, progress.remaining) == about(1, 60)
    assert progress.token_rates is not None
    assert progress.token_rates.completion == pytest.approx(10, rel=0.1)
    end_attempt(ledger, attempt, "release")
    commit_texts(ledger, claim_and_load(ledger, job), [40, 41], seconds=10.0)
    check_span(ledger, job, 2, 10)


@pytest.mark.parametrize("kind", ["tune", "cross_validate"])
def test_other_jobs_count_from_their_start(ledger: Ledger, kind: str) -> None:
    job = submit(ledger, 1, 1, kind=kind)
    commit(ledger, claim_and_load(ledger, job))
    assert rate(ledger, job) == pytest.approx(1 / LOADING_S, rel=0.1)
