"""How attempts and jobs end otherwise than by success: failed, handed back, cancelled, overdue; and retried."""

from __future__ import annotations

from uuid import uuid4

import pytest

from longshore.shared.errors import AttemptLost, InvalidInput, UnknownJob
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Ticket
from longshore.shared.vocabulary import State
from tests.integration.support import claim, commit, expire, new_job, row_errors_of, rows_of, run, states_of, submit


def overdue(ledger: Ledger) -> int:
    """Let every job's timeout run out now."""
    with ledger.database.connection() as conn:
        conn.execute("UPDATE jobs SET deadline = created_at + interval '1 microsecond' WHERE deadline IS NOT NULL")
    return ledger.maintenance.end_overdue()


def errors_of(ledger: Ledger, job: object) -> list[tuple[object, object, object]]:
    (shard,) = (shard for shard in ledger.queries.shards(job) if shard.index == 0)  # type: ignore[arg-type]
    return [(error["attempt"], error["worker"], error["error"]) for error in shard.errors]


def test_a_shard_is_tried_to_its_limit_and_keeps_every_error(ledger: Ledger) -> None:
    job = submit(ledger, 1, 1, max_attempts=3)
    assert ledger.attempts.fail(claim(ledger, job, worker="a"), "one", permanent=False) is State.QUEUED
    assert [ticket.shard for ticket in ledger.maintenance.unpublished(grace=60)] == [0]
    claim(ledger, job, worker="b")
    assert expire(ledger, job) == 1
    assert ledger.attempts.fail(claim(ledger, job, worker="c"), "three", permanent=False) is State.FAILED

    lost = "the worker was lost: its lease ran out"
    assert errors_of(ledger, job) == [(1, "a", "one"), (2, "b", lost), (3, "c", "three")]
    assert ledger.queries.job(job).state is State.RUNNING
    run(ledger, job, 1)
    found = ledger.queries.job(job)
    assert (found.state, found.error, found.shards_done, found.shards_failed) == (State.FAILED, "three", 1, 1)
    assert rows_of(ledger, job) == [1]


def test_a_permanent_failure_ends_the_job_and_what_else_of_it_runs(ledger: Ledger) -> None:
    job = submit(ledger, 1, 1, 1, 1)
    run(ledger, job, 0)
    bad, running = claim(ledger, job, 1), claim(ledger, job, 2)
    assert ledger.attempts.fail(bad, "the version is damaged", permanent=True) is State.FAILED

    found = ledger.queries.job(job)
    assert (found.state, found.error) == (State.FAILED, "the version is damaged")
    assert states_of(ledger, job) == ["succeeded", "failed", "cancelled", "cancelled"]
    with pytest.raises(AttemptLost):
        commit(ledger, running)
    assert rows_of(ledger, job) == [0]


def test_handing_back_does_not_count_as_a_try(ledger: Ledger) -> None:
    job = submit(ledger, 1, max_attempts=1)
    for _ in range(3):
        assert ledger.attempts.release(claim(ledger, job)) is True
        assert [ticket.shard for ticket in ledger.maintenance.unpublished(grace=60)] == [0]
    assert errors_of(ledger, job) == []
    last = claim(ledger, job)
    assert last.attempt == 4
    assert ledger.attempts.fail(last, "broken", permanent=False) is State.FAILED


def test_what_a_worker_did_not_get_to_is_published_again(ledger: Ledger) -> None:
    new = new_job(1, 1, 1)
    ledger.submissions.submit([new])
    tickets = [Ticket(new.id, index, "infer", "cpu", 4, index, index + 1, "digits", 1) for index in range(3)]
    ledger.submissions.mark_published([(uuid4(), tickets)])
    claim(ledger, new.id, 0)
    ledger.attempts.give_back([(new.id, 0), (new.id, 1)])
    assert ledger.maintenance.unpublished(grace=0) == [tickets[1]]


def test_cancelling_ends_a_job_once(ledger: Ledger) -> None:
    job = submit(ledger, 1, 1, 1)
    run(ledger, job, 0)
    running = claim(ledger, job, 1)
    assert ledger.control.cancel(job, "cancelled by ada") is True
    assert ledger.control.cancel(job) is False

    found = ledger.queries.job(job)
    assert (found.state, found.error) == (State.CANCELLED, "cancelled by ada")
    assert states_of(ledger, job) == ["succeeded", "cancelled", "cancelled"]
    assert ledger.attempts.claim(job, 2, worker="a", lease=60) is None
    with pytest.raises(AttemptLost):
        commit(ledger, running)
    assert rows_of(ledger, job) == [0]
    assert ledger.maintenance.unpublished(grace=0) == []


def test_a_job_that_has_succeeded_stays_so(ledger: Ledger) -> None:
    job = submit(ledger, 1)
    run(ledger, job)
    assert ledger.control.cancel(job) is False
    with pytest.raises(InvalidInput, match="is succeeded; only a failed or cancelled job can be retried"):
        ledger.control.retry(job)
    assert ledger.queries.job(job).state is State.SUCCEEDED


def test_an_unknown_job_is_said_to_be_unknown(ledger: Ledger) -> None:
    nobody = uuid4()
    for call in (ledger.control.cancel, ledger.control.retry, ledger.queries.job):
        with pytest.raises(UnknownJob, match=str(nobody)):
            call(nobody)


def test_a_retry_runs_only_what_did_not_succeed(ledger: Ledger) -> None:
    job = submit(ledger, 1, 1, 1, max_attempts=2)
    run(ledger, job, 0)
    for _ in range(2):
        ledger.attempts.fail(claim(ledger, job, 1), "broken", permanent=False)
    ledger.control.cancel(job)
    with ledger.database.connection() as conn:
        first = conn.execute("SELECT xmin::text FROM results").fetchall()

    tickets = ledger.control.retry(job)
    assert [(ticket.shard, ticket.start, ticket.stop) for ticket in tickets] == [(1, 1, 2), (2, 2, 3)]
    found = ledger.queries.job(job)
    assert (found.state, found.error, found.finished_at, found.shards_failed) == (State.QUEUED, None, None, 0)
    assert [(shard.attempt, shard.attempt_limit) for shard in ledger.queries.shards(job)] == [(1, 2), (2, 4), (0, 2)]
    with pytest.raises(InvalidInput, match="is queued"):
        ledger.control.retry(job)

    run(ledger, job, 1)
    run(ledger, job, 2)
    assert ledger.queries.job(job).state is State.SUCCEEDED
    assert rows_of(ledger, job) == [0, 1, 2]
    with ledger.database.connection() as conn:
        assert conn.execute("SELECT xmin::text FROM results WHERE row = 0").fetchall() == first


def test_rows_that_fail_fail_the_job_and_keep_the_others(ledger: Ledger) -> None:
    job = submit(ledger, 3, 2)
    commit(ledger, claim(ledger, job, 0), {1: "pixels: not a number"})
    run(ledger, job, 1)

    found = ledger.queries.job(job)
    assert (found.state, found.rows_done, found.rows_failed) == (State.FAILED, 4, 1)
    assert found.error == "1 of 5 rows failed, none were allowed; the others have results"
    assert rows_of(ledger, job) == [0, 2, 3, 4]
    assert row_errors_of(ledger, job) == [(1, "pixels: not a number")]
    assert states_of(ledger, job) == ["succeeded", "succeeded"]
    with pytest.raises(InvalidInput, match=r"every shard of .* was run; to run the rows that failed once more"):
        ledger.control.retry(job)


def test_a_job_past_its_deadline_is_ended(ledger: Ledger) -> None:
    waiting, running = submit(ledger, 1, timeout=600), submit(ledger, 1, 1, timeout=600)
    done, endless = submit(ledger, 1, timeout=600), submit(ledger, 1)
    run(ledger, done)
    late = claim(ledger, running)
    assert ledger.maintenance.end_overdue() == 0

    assert overdue(ledger) == 2
    assert overdue(ledger) == 0
    for job in (waiting, running):
        found = ledger.queries.job(job)
        assert (found.state, found.error) == (State.FAILED, "the job's timeout ran out before it was done")
    with pytest.raises(AttemptLost):
        commit(ledger, late)
    assert [ledger.queries.job(job).state for job in (done, endless)] == [State.SUCCEEDED, State.QUEUED]


def test_a_retry_has_the_whole_timeout_again(ledger: Ledger) -> None:
    job = submit(ledger, 1, timeout=600)
    ledger.control.cancel(job)
    before = ledger.queries.job(job).deadline
    ledger.control.retry(job)
    after = ledger.queries.job(job).deadline
    assert before is not None
    assert after is not None
    assert 0 < (after - before).total_seconds() < 60
