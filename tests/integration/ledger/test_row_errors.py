"""Rows that fail: as many as a job allows, noted, and run again by themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID, uuid4

import pytest
from psycopg.errors import UniqueViolation

from longshore.broker.tickets import pack_messages
from longshore.shared.errors import AttemptLost, InvalidInput, UnknownJob
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.shards.batching import Finished
from longshore.shared.vocabulary import State
from tests.integration.ledger import invariants
from tests.integration.support import (
    claim,
    commit,
    expire,
    lines,
    new_job,
    row_errors_of,
    rows_of,
    run,
    states_of,
    submit,
    together,
    wait_for_lock,
    write_and_break,
)
from tests.waiting import TIMEOUT_S

BAD = "pixels: not a number"


def half_failed(ledger: Ledger, *rows: int, max_attempts: int = 3, max_row_errors: float = 0) -> UUID:
    """A job that has run, and of whose shards each but the last has an error in its first row."""
    job = submit(ledger, *rows, max_attempts=max_attempts, max_row_errors=max_row_errors)
    for shard in range(len(rows)):
        current = claim(ledger, job, shard)
        commit(ledger, current, {current.start: BAD} if shard < len(rows) - 1 else {})
    return job


@pytest.mark.parametrize(
    ("allowed", "failed", "error", "notes"),
    [
        (0, 1, "1 of 100 rows failed, none were allowed; the others have results", []),
        (5, 5, None, ["5 of 100 rows failed, up to 5 were allowed"]),
        (5, 6, "6 of 100 rows failed, up to 5 were allowed; the others have results", []),
        (0.05, 5, None, ["5 of 100 rows failed, up to 5 were allowed"]),
        (0.05, 6, "6 of 100 rows failed, up to 5 were allowed; the others have results", []),
        (0.29, 29, None, ["29 of 100 rows failed, up to 29 were allowed"]),
        (0.001, 1, "1 of 100 rows failed, none were allowed; the others have results", []),
        (1, 1, None, ["1 of 100 rows failed, up to 1 were allowed"]),
        (5, 0, None, []),
    ],
)
def test_a_job_succeeds_with_as_many_failed_rows_as_it_allows(
    ledger: Ledger, allowed: float, failed: int, error: str | None, notes: list[str]
) -> None:
    job = submit(ledger, 60, 40, max_row_errors=allowed)
    run(ledger, job, 1)
    commit(ledger, claim(ledger, job, 0), dict.fromkeys(range(failed), BAD))
    found = ledger.queries.job(job)
    assert (found.state, found.error) == (State.FAILED if error else State.SUCCEEDED, error)
    assert found.notes == notes
    assert (found.rows_done, found.rows_failed) == (100 - failed, failed)


def test_a_job_whose_rows_all_failed_has_no_results(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    commit(ledger, claim(ledger, job, 0), dict.fromkeys(range(2), BAD))
    assert ledger.queries.job(job).error == "2 of 2 rows failed, none were allowed"


def test_shards_that_are_committed_together_are_counted_the_same(ledger: Ledger) -> None:
    new = [new_job(2, max_row_errors=allowed) for allowed in (0, 0.5)]
    ledger.submissions.submit(new)
    claims = [claim(ledger, job.id) for job in new]
    text = b"".join(bytes(lines(each, [1])) for each in claims)
    ledger.attempts.commit_batch([Finished(each, 1, {0: BAD}) for each in claims], memoryview(text))
    strict, lenient = (ledger.queries.job(job.id) for job in new)
    assert (strict.state, strict.notes) == (State.FAILED, [])
    assert (lenient.state, lenient.notes) == (State.SUCCEEDED, ["1 of 2 rows failed, up to 1 were allowed"])


def test_a_shard_that_is_given_up_is_never_allowed(ledger: Ledger) -> None:
    job = submit(ledger, 2, 2, max_attempts=1, max_row_errors=0.9)
    ledger.attempts.fail(claim(ledger, job), "broken", permanent=False)
    commit(ledger, claim(ledger, job, 1), {2: BAD})
    found = ledger.queries.job(job)
    assert (found.state, found.error, found.notes) == (State.FAILED, "broken", [])


def test_notes_of_attempts_are_kept_once_each(ledger: Ledger) -> None:
    job = submit(ledger, 1, 1, 1)
    for shard, notes in enumerate((["one", "two", "one"], ["two", "three"], [])):
        current = claim(ledger, job, shard)
        with ledger.attempts.writing(current) as writer:
            writer.results(lines(current))
            writer.notes(notes)
            writer.fence(1)
            writer.finish()
    assert ledger.queries.job(job).notes == ["one", "two", "three"]
    lost = submit(ledger, 1)
    current = claim(ledger, lost)
    expire(ledger, lost)

    def write_too_late() -> None:
        with ledger.attempts.writing(current) as writer:
            writer.notes(["never seen"])
            writer.fence(0)

    with pytest.raises(AttemptLost):
        write_too_late()
    assert ledger.queries.job(lost).notes == []


def test_only_the_failed_rows_run_again(ledger: Ledger) -> None:
    job = half_failed(ledger, 3, 2, 2, max_row_errors=0.5)
    assert ledger.queries.job(job).notes == ["2 of 7 rows failed, up to 3 were allowed"]
    with ledger.database.connection() as conn:
        before = conn.execute("SELECT row, xmin::text FROM results ORDER BY row").fetchall()

    tickets = ledger.control.retry_failed_rows(job)
    assert [ticket.shard for ticket in tickets] == [0, 1]
    assert [len(message.tickets) for message in pack_messages(tickets)] == [1, 1]
    waiting = ledger.queries.job(job)
    assert (waiting.state, waiting.error, waiting.finished_at, waiting.notes) == (State.QUEUED, None, None, [])
    assert (waiting.rows_done, waiting.rows_failed, waiting.shards_done, waiting.rows_before_retry) == (5, 0, 1, 5)
    assert row_errors_of(ledger, job) == [(0, BAD), (3, BAD)]
    invariants.check(ledger)

    first = claim(ledger, job, 0)
    assert (first.only_failed, first.attempt, first.attempt_limit) == (True, 2, 4)
    assert ledger.attempts.failed_rows(first) == [0]
    commit(ledger, first)
    commit(ledger, claim(ledger, job, 1), {3: "still not a number"})

    found = ledger.queries.job(job)
    assert (found.state, found.rows_done, found.rows_failed, found.shards_done) == (State.SUCCEEDED, 6, 1, 3)
    assert found.notes == ["1 of 7 rows failed, up to 3 were allowed"]
    assert row_errors_of(ledger, job) == [(3, "still not a number")]
    assert rows_of(ledger, job) == [0, 1, 2, 4, 5, 6]
    with ledger.database.connection() as conn:
        after = conn.execute("SELECT row, xmin::text FROM results WHERE row > 0 ORDER BY row").fetchall()
    assert after == before
    invariants.check(ledger)


def test_shards_that_failed_themselves_run_whole_with_them(ledger: Ledger) -> None:
    job = submit(ledger, 2, 2, 2, max_attempts=1)
    commit(ledger, claim(ledger, job, 0), {1: BAD})
    ledger.attempts.fail(claim(ledger, job, 1), "broken", permanent=False)
    run(ledger, job, 2)
    assert [ticket.shard for ticket in ledger.control.retry_failed_rows(job)] == [0, 1]
    assert [shard.only_failed for shard in ledger.queries.shards(job)] == [True, False, False]
    run(ledger, job, 0)
    run(ledger, job, 1)
    assert ledger.queries.job(job).state is State.SUCCEEDED
    assert rows_of(ledger, job) == list(range(6))


@pytest.mark.parametrize("how", ["retry", "retry_failed_rows"])
def test_a_shard_that_breaks_in_its_failed_rows_goes_on_with_these(ledger: Ledger, how: str) -> None:
    job = half_failed(ledger, 3, 1, max_attempts=1)
    ledger.control.retry_failed_rows(job)
    current = claim(ledger, job)
    write_and_break(ledger, current)
    assert ledger.attempts.fail(current, "broken", permanent=False) is State.FAILED
    found = ledger.queries.job(job)
    assert (found.state, found.error, found.rows_done, found.shards_failed) == (State.FAILED, "broken", 3, 1)
    invariants.check(ledger)

    tickets = ledger.control.retry(job) if how == "retry" else ledger.control.retry_failed_rows(job)
    assert [ticket.shard for ticket in tickets] == [0]
    again = claim(ledger, job)
    assert (again.only_failed, ledger.attempts.failed_rows(again)) == (True, [0])
    commit(ledger, again)
    found = ledger.queries.job(job)
    assert (found.state, found.rows_done, found.rows_failed) == (State.SUCCEEDED, 4, 0)
    assert rows_of(ledger, job) == [0, 1, 2, 3]
    invariants.check(ledger)


def test_an_attempt_commits_exactly_the_rows_that_failed(ledger: Ledger) -> None:
    job = half_failed(ledger, 3, 1)
    ledger.control.retry_failed_rows(job)
    current = claim(ledger, job)

    def write(rows: list[int]) -> None:
        with ledger.attempts.writing(current) as writer:
            writer.results(lines(current, rows))
            writer.fence(len(rows))
            writer.finish()

    with pytest.raises(RuntimeError, match="had 1 rows to run again, and ran 0"):
        write([])
    with pytest.raises(UniqueViolation):
        write([0, 1])
    with pytest.raises(ValueError, match="committed alone"):
        ledger.attempts.commit_batch([Finished(current, 3)], memoryview(b""))
    invariants.check(ledger)
    commit(ledger, current)
    assert ledger.queries.job(job).state is State.SUCCEEDED


def test_what_cannot_be_run_again_is_refused(ledger: Ledger) -> None:
    with pytest.raises(UnknownJob):
        ledger.control.retry_failed_rows(uuid4())
    whole = submit(ledger, 1)
    with pytest.raises(InvalidInput, match="is queued; wait until it has ended"):
        ledger.control.retry_failed_rows(whole)
    run(ledger, whole)
    with pytest.raises(InvalidInput, match=f"no row of {whole} failed"):
        ledger.control.retry_failed_rows(whole)
    files = half_failed(ledger, 1, 1)
    with ledger.database.connection() as conn:
        conn.execute("""UPDATE jobs SET spec = spec || '{"output": "out/*.parquet"}' WHERE id = %s""", [files])
    with pytest.raises(InvalidInput, match="writes files") as refused:
        ledger.control.retry_failed_rows(files)
    assert refused.value.field == "rows"
    assert ledger.queries.job(files).state is State.FAILED


def test_of_two_retries_at_once_one_wins(ledger: Ledger) -> None:
    for _ in range(5):
        job = half_failed(ledger, 2, 2, 1)

        def retry(job: UUID) -> int:
            try:
                return len(ledger.control.retry_failed_rows(job))
            except InvalidInput:
                return 0

        assert sorted(together(partial(retry, job), partial(retry, job))) == [0, 2]
        invariants.check(ledger)
        run(ledger, job, 0)
        run(ledger, job, 1)
        assert ledger.queries.job(job).state is State.SUCCEEDED
        assert rows_of(ledger, job) == [0, 1, 2, 3, 4]


def test_a_cancel_meets_a_retry(ledger: Ledger) -> None:
    for _ in range(5):
        job = half_failed(ledger, 2, 2, 1)
        retried, cancelled = together(
            partial(ledger.control.retry_failed_rows, job), partial(ledger.control.cancel, job)
        )
        assert isinstance(retried, list)
        found = ledger.queries.job(job)
        assert found.state is (State.CANCELLED if cancelled else State.QUEUED)
        invariants.check(ledger)
        if cancelled:
            assert states_of(ledger, job) == ["cancelled", "cancelled", "succeeded"]
            ledger.control.retry_failed_rows(job)
        run(ledger, job, 0)
        run(ledger, job, 1)
        assert ledger.queries.job(job).rows_done == 5
        invariants.check(ledger)


def test_a_cancel_waits_for_failed_rows_that_have_passed_the_fence(ledger: Ledger) -> None:
    job = half_failed(ledger, 2, 1)
    ledger.control.retry_failed_rows(job)
    current = claim(ledger, job)
    with ThreadPoolExecutor(1) as pool:
        with ledger.attempts.writing(current) as writer:
            writer.results(lines(current, [0]))
            writer.fence(1)
            cancelled = pool.submit(ledger.control.cancel, job)
            wait_for_lock(ledger)
            writer.finish()
        assert cancelled.result(TIMEOUT_S) is False
    assert ledger.queries.job(job).state is State.SUCCEEDED
    invariants.check(ledger)


def test_a_cancel_in_the_middle_leaves_the_errors_of_before(ledger: Ledger) -> None:
    job = half_failed(ledger, 2, 1)
    ledger.control.retry_failed_rows(job)
    current = claim(ledger, job)

    def write_while_it_is_cancelled() -> None:
        with ledger.attempts.writing(current) as writer:
            writer.results(lines(current, [0]))
            assert ledger.control.cancel(job)
            writer.fence(1)

    with pytest.raises(AttemptLost):
        write_while_it_is_cancelled()
    assert row_errors_of(ledger, job) == [(0, BAD)]
    assert rows_of(ledger, job) == [1, 2]
    invariants.check(ledger)


def test_a_lost_attempt_at_failed_rows_is_made_again(ledger: Ledger) -> None:
    job = half_failed(ledger, 2, 1)
    ledger.control.retry_failed_rows(job)
    lost = claim(ledger, job)
    write_and_break(ledger, lost)
    expire(ledger, job)
    invariants.check(ledger)
    commit(ledger, claim(ledger, job))
    with pytest.raises(AttemptLost):
        commit(ledger, lost)
    assert rows_of(ledger, job) == [0, 1, 2]
    assert row_errors_of(ledger, job) == []
    invariants.check(ledger)
