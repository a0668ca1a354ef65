"""Rows that are committed while their shards run: they stay, are counted once, and nobody runs them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import pyarrow as pa
import pytest

from longshore.shared.errors import AttemptLost
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.copy_rows import result_lines
from longshore.shared.ledger.shards.row_commits import CommittedRows, DoneRows
from longshore.shared.vocabulary import State
from tests.integration.support import (
    LEASE,
    claim,
    end_attempt,
    expire,
    new_job,
    row_errors_of,
    rows_of,
    states_of,
    together,
)

BAD = "the prompt is empty"


def submit(ledger: Ledger, *rows: int, timeout: float | None = None, max_row_errors: float = 0) -> UUID:
    new = new_job(*rows, kind="generate", timeout=timeout, max_row_errors=max_row_errors)
    return ledger.submissions.submit([new])[0]


def commit_rows(
    ledger: Ledger,
    of: Claim,
    rows: Sequence[int] = (),
    errors: Mapping[int, str] | None = None,
    *,
    finished_rows: int | None = None,
) -> bool:
    """Commit some rows of a shard, each with a prompt of 3 tokens and 2 new ones. Returns whether the fence let it."""
    part = CommittedRows(
        claim=of,
        rows=len(rows),
        errors=errors or {},
        finished_rows=finished_rows,
        prompt_tokens=3 * len(rows),
        completion_tokens=2 * len(rows),
    )
    outputs = pa.array([f'{{"row": {row}}}' for row in rows], pa.string())
    lost = ledger.attempts.commit_rows([part], result_lines(of.job_id, pa.array(rows, pa.int64()), outputs))
    return not lost


def usage(rows: int) -> dict[str, int]:
    return {"prompt_tokens": 3 * rows, "completion_tokens": 2 * rows, "cached_tokens": 0}


def make_overdue(ledger: Ledger, job: UUID) -> None:
    with ledger.database.connection() as conn:
        conn.execute(
            "UPDATE jobs SET created_at = created_at - interval '1 hour', deadline = deadline - interval '1 hour' "
            "WHERE id = %s",
            [job],
        )
    assert ledger.maintenance.end_overdue() == 1


def test_rows_are_visible_and_counted_while_their_shard_runs(ledger: Ledger) -> None:
    job = submit(ledger, 4, 2)
    first = claim(ledger, job, 0)
    assert commit_rows(ledger, first, [2], {0: BAD})
    record = ledger.queries.job(job)
    assert (record.state, record.rows_done, record.rows_failed, record.shards_done) == (State.RUNNING, 1, 1, 0)
    assert record.rows_running == 0
    assert record.usage == usage(1)
    assert rows_of(ledger, job) == [2]
    assert ledger.attempts.done_rows(first) == DoneRows(frozenset({2}), frozenset({0}))
    assert ledger.queries.rows_not_run(job) == [range(1, 2), range(3, 6)]
    assert commit_rows(ledger, first, [1, 3], finished_rows=3)
    assert commit_rows(ledger, claim(ledger, job, 1), [4, 5], finished_rows=2)
    record = ledger.queries.job(job)
    assert (record.state, record.rows_done, record.rows_failed, record.shards_done) == (State.FAILED, 5, 1, 2)
    assert record.usage == usage(5)
    assert [shard.rows_done for shard in ledger.queries.shards(job)] == [3, 2]
    assert ledger.queries.rows_not_run(job) == []


def test_shards_of_many_jobs_are_committed_together(ledger: Ledger) -> None:
    jobs = [submit(ledger, 2) for _ in range(5)]
    claims = [claim(ledger, job) for job in jobs]
    parts = [CommittedRows(claim=each, rows=2, finished_rows=2, prompt_tokens=1) for each in claims]
    ids = pa.array([str(job) for job in jobs for _ in range(2)])
    lines = result_lines(ids, pa.array([0, 1] * 5, pa.int64()), pa.array(["{}"] * 10))
    ledger.control.cancel(jobs[3])
    assert ledger.attempts.commit_rows(parts, lines) == {(jobs[3], 0)}
    assert rows_of(ledger, jobs[0]) == []
    kept = [part for part in parts if part.claim.job_id != jobs[3]]
    ids = pa.array([str(part.claim.job_id) for part in kept for _ in range(2)])
    lines = result_lines(ids, pa.array([0, 1] * 4, pa.int64()), pa.array(["{}"] * 8))
    assert ledger.attempts.commit_rows(kept, lines) == set()
    assert [ledger.queries.job(job).state.value for job in jobs] == [*["succeeded"] * 3, "cancelled", "succeeded"]


@pytest.mark.parametrize("end", ["expire", "fail", "release", "defer", "cancel"])
def test_committed_rows_outlive_their_attempt(ledger: Ledger, end: str) -> None:
    job = submit(ledger, 4)
    first = claim(ledger, job)
    assert commit_rows(ledger, first, [0, 3], {1: BAD})
    end_attempt(ledger, first, end)
    assert not commit_rows(ledger, first, [2])
    assert rows_of(ledger, job) == [0, 3]
    record = ledger.queries.job(job)
    assert (record.rows_done, record.rows_failed, record.usage) == (2, 1, usage(2))
    if end == "cancel":
        ledger.control.retry(job)
        assert ledger.queries.job(job).rows_before_retry == 3
    second = claim(ledger, job)
    assert ledger.attempts.done_rows(second) == DoneRows(frozenset({0, 3}), frozenset({1}))
    assert commit_rows(ledger, second, [2], finished_rows=3)
    record = ledger.queries.job(job)
    assert (record.state, record.rows_done, record.rows_failed, record.usage) == (State.FAILED, 3, 1, usage(3))


def test_leases_of_many_attempts_are_renewed_together(ledger: Ledger) -> None:
    running, cancelled, lost = (submit(ledger, 1) for _ in range(3))
    claims = [claim(ledger, job) for job in (running, cancelled, lost)]
    ledger.control.cancel(cancelled)
    expire(ledger, lost)
    claim(ledger, lost)
    assert ledger.attempts.renew_many(claims, lease=LEASE) == {(cancelled, 0), (lost, 0)}
    assert expire(ledger, running) == 1, "it was renewed, and ran until its lease was ended by hand"


def test_an_overdue_job_keeps_its_rows_and_says_how_many_are_left(ledger: Ledger) -> None:
    job = submit(ledger, 3, 1500, timeout=60.0)
    assert commit_rows(ledger, claim(ledger, job, 0), [0, 1], {2: BAD}, finished_rows=2)
    running = claim(ledger, job, 1)
    assert commit_rows(ledger, running, [10])
    make_overdue(ledger, job)
    record = ledger.queries.job(job)
    assert record.state is State.FAILED
    assert record.error == "the job's timeout ran out: 1,499 of 1,503 rows were not run; retry goes on with them"
    assert record.outcome == {"expired": True, "rows_not_run": 1499}
    assert states_of(ledger, job) == ["succeeded", "cancelled"]
    assert not commit_rows(ledger, running, [11])
    assert ledger.queries.rows_not_run(job) == [range(3, 10), range(11, 1503)]
    assert ledger.queries.rows_not_run(job, limit=1) == [range(3, 10)]
    assert [ticket.shard for ticket in ledger.control.retry(job)] == [1]
    record = ledger.queries.job(job)
    assert (record.state, record.outcome, record.error) == (State.QUEUED, None, None)
    assert record.deadline is not None
    assert record.deadline > record.read_at
    again = claim(ledger, job, 1)
    assert len(ledger.attempts.done_rows(again)) == 1
    rest = [row for row in range(3, 1503) if row != 10]
    assert commit_rows(ledger, again, rest, finished_rows=1500)
    record = ledger.queries.job(job)
    assert (record.rows_done, record.rows_failed, record.outcome) == (1502, 1, None)


def test_an_overdue_job_whose_rows_are_not_counted_says_so(ledger: Ledger) -> None:
    job = ledger.submissions.submit([new_job(kind="generate", timeout=60.0)])[0]
    make_overdue(ledger, job)
    record = ledger.queries.job(job)
    assert record.error == "the job's timeout ran out before its rows were counted; retry goes on with them"
    assert record.outcome == {"expired": True, "rows_not_run": None}


def test_failed_rows_run_again_with_those_that_never_ran(ledger: Ledger) -> None:
    job = submit(ledger, 2, 2, 2)
    assert commit_rows(ledger, claim(ledger, job, 0), [0], {1: BAD}, finished_rows=1)
    assert commit_rows(ledger, claim(ledger, job, 1), [2, 3], finished_rows=2)
    assert commit_rows(ledger, claim(ledger, job, 2), [], {4: BAD})
    ledger.control.cancel(job)
    assert sorted(ticket.shard for ticket in ledger.control.retry_failed_rows(job)) == [0, 2]
    record = ledger.queries.job(job)
    assert (record.state, record.rows_done, record.rows_failed, record.shards_done) == (State.QUEUED, 3, 0, 1)
    assert record.rows_before_retry == 3
    assert row_errors_of(ledger, job) == [(1, BAD), (4, BAD)]
    first = claim(ledger, job, 0)
    ledger.control.cancel(job)
    # The error of the shard that did not begin is still there, and is not counted twice.
    with pytest.raises(AttemptLost):
        ledger.attempts.begin_rows(first)
    assert sorted(ticket.shard for ticket in ledger.control.retry_failed_rows(job)) == [0, 2]
    assert ledger.queries.job(job).rows_failed == 0
    first, last = claim(ledger, job, 0), claim(ledger, job, 2)
    assert ledger.attempts.begin_rows(first) == DoneRows(frozenset({0}))
    assert ledger.attempts.begin_rows(last) == DoneRows()
    assert row_errors_of(ledger, job) == []
    ledger.attempts.release(first)
    first = claim(ledger, job, 0)
    assert not first.only_failed
    assert commit_rows(ledger, first, [1], finished_rows=2)
    assert commit_rows(ledger, last, [4, 5], finished_rows=2)
    record = ledger.queries.job(job)
    assert (record.state, record.rows_done, record.rows_failed, record.shards_done) == (State.SUCCEEDED, 6, 0, 3)


def test_of_two_attempts_one_commits_a_row(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    first = claim(ledger, job)
    expire(ledger, job)
    second = claim(ledger, job)
    committed = together(lambda: commit_rows(ledger, first, [0]), lambda: commit_rows(ledger, second, [0]))
    assert committed == [False, True]
    assert ledger.queries.job(job).rows_done == 1


def test_what_waits_first_is_seen(ledger: Ledger) -> None:
    new = new_job(1, 1, kind="generate", priority=7)
    ledger.submissions.submit([new])
    assert ledger.attempts.first_waiting(["cpu"]) == []
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET published_at = now() WHERE index = 1")
    waiting = ledger.attempts.first_waiting(["cpu", "gpu"])
    assert [(each.job_id, each.queue, each.priority) for each in waiting] == [(new.id, "cpu", 7)]


def test_the_next_shard_of_a_job_that_generates_is_claimed_ahead(ledger: Ledger) -> None:
    job = submit(ledger, 1, 1)
    following = ledger.attempts.claim_next(claim(ledger, job, 0), worker="cpu:0@tests", lease=LEASE)
    assert following is not None
    assert following.shard == 1


@pytest.mark.parametrize(
    ("end", "joins"), [("release", True), ("cancel", True), ("fail", False), ("expire", False), ("defer", False)]
)
def test_shards_that_were_handed_back_join_others_and_those_that_failed_run_alone(
    ledger: Ledger, end: str, joins: bool
) -> None:
    small, large = new_job(2, kind="generate", batch_key="k"), new_job(1, 2, kind="generate")
    ledger.submissions.submit([small, large])
    for job, shard in ((small.id, 0), (large.id, 1)):
        tried = claim(ledger, job, shard)
        if end == "release":
            ledger.attempts.release(tried)
        elif end == "cancel":
            ledger.control.cancel(job)
            ledger.control.retry(job)
        elif end == "fail":
            ledger.attempts.fail(tried, "out of memory", permanent=False)
        elif end == "expire":
            expire(ledger, job, shard)
        else:
            ledger.attempts.defer(tried, "Postgres restarts")
    beginning = new_job(2, kind="generate", batch_key="k")
    ledger.submissions.submit([beginning])
    first = ledger.attempts.claim_many([(beginning.id, 0)], worker="a", lease=LEASE)
    joined = {each.job_id for each in first} - {beginning.id}
    assert joined == ({small.id} if joins else set())
    following = ledger.attempts.claim_next(claim(ledger, large.id, 0), worker="a", lease=LEASE)
    assert (following is not None) is joins
    if end in ("fail", "expire"):
        assert claim(ledger, small.id).failed_before
    else:
        assert not any(each.failed_before for each in first)


def test_errors_of_rows_are_stored_whatever_characters_they_have(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    assert commit_rows(ledger, claim(ledger, job), [], {0: "no \0 byte", 1: "half \ud800 a pair"}, finished_rows=0)
    assert row_errors_of(ledger, job) == [
        (0, "no \N{REPLACEMENT CHARACTER} byte"),
        (1, "half \N{REPLACEMENT CHARACTER} a pair"),
    ]
