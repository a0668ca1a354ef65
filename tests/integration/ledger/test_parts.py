"""Shards that end in a file: one attempt decides on it, any later one may publish it and count the shard as done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

import pytest

from longshore.shared.errors import AttemptLost
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim, ShardRecord
from longshore.shared.vocabulary import State
from tests.integration.support import (
    claim,
    expire,
    lines,
    row_errors_of,
    rows_of,
    states_of,
    submit,
    together,
    wait_for_lock,
)
from tests.waiting import TIMEOUT_S


def part_of(of: Claim) -> str:
    return f"hidden/{of.shard}-{of.attempt}.parquet"


def decide(ledger: Ledger, of: Claim, errors: dict[int, str] | None = None, *, results: bool = False) -> None:
    failed = errors or {}
    with ledger.attempts.writing(of) as writer:
        if results:
            writer.results(lines(of, [row for row in range(of.start, of.stop) if row not in failed]))
        writer.decide(part_of(of), ["a batch did not fit", "a batch did not fit"])
        writer.row_errors(failed)


def only_shard(ledger: Ledger, job: UUID) -> ShardRecord:
    return ledger.queries.shards(job)[0]


def test_a_decision_leaves_the_shard_running_until_its_file_is_published(ledger: Ledger) -> None:
    job = submit(ledger, 3, 2)
    first = claim(ledger, job)
    decide(ledger, first, {1: "is null"})
    assert states_of(ledger, job) == ["running", "queued"]
    record = ledger.queries.job(job)
    assert (record.rows_done, record.rows_failed, record.shards_done) == (0, 0, 0)

    assert ledger.attempts.finish_output_file(first) is False
    record = ledger.queries.job(job)
    assert (record.state, record.rows_done, record.rows_failed, record.shards_done) == (State.RUNNING, 2, 1, 1)
    second = claim(ledger, job, 1)
    decide(ledger, second)
    assert ledger.attempts.finish_output_file(second) is True
    record = ledger.queries.job(job)
    assert (record.state, record.rows_done, record.rows_failed) == (State.FAILED, 4, 1)
    assert record.notes == ["a batch did not fit"]
    assert [shard.output_file for shard in ledger.queries.shards(job)] == [part_of(first), part_of(second)]


@pytest.mark.parametrize("ending", ["lost", "released", "failed for now"])
def test_the_next_attempt_is_told_of_the_decision_and_can_finish_it(ledger: Ledger, ending: str) -> None:
    job = submit(ledger, 3)
    first = claim(ledger, job)
    assert first.output_file is None
    decide(ledger, first, {0: "is null", 2: "is null"}, results=True)
    if ending == "lost":
        expire(ledger, job)
    elif ending == "released":
        ledger.attempts.release(first)
    else:
        ledger.attempts.fail(first, "the disk is full", permanent=False)
    second = claim(ledger, job)
    assert second.output_file == part_of(first)
    with pytest.raises(AttemptLost):
        ledger.attempts.finish_output_file(first)
    assert ledger.attempts.finish_output_file(second) is True
    record = ledger.queries.job(job)
    assert (record.rows_done, record.rows_failed, record.shards_done) == (1, 2, 1)
    assert rows_of(ledger, job) == [1]


def test_a_decision_stands_through_the_failure_and_the_retry_of_its_job(ledger: Ledger) -> None:
    job = submit(ledger, 2, max_attempts=1)
    first = claim(ledger, job)
    decide(ledger, first)
    expire(ledger, job)
    assert ledger.queries.job(job).state is State.FAILED
    ledger.control.retry(job)
    second = claim(ledger, job)
    assert second.output_file == part_of(first)
    ledger.attempts.finish_output_file(second)
    assert ledger.queries.job(job).state is State.SUCCEEDED


@pytest.mark.parametrize("ending", ["lost", "claimed again", "cancelled", "decided before"])
def test_only_the_current_attempt_decides_and_only_once(ledger: Ledger, ending: str) -> None:
    job = submit(ledger, 2)
    old = claim(ledger, job)
    if ending == "cancelled":
        ledger.control.cancel(job)
    elif ending == "decided before":
        decide(ledger, old)
    else:
        expire(ledger, job)
        if ending == "claimed again":
            claim(ledger, job)
    before = only_shard(ledger, job)
    with pytest.raises(AttemptLost, match=old.token):
        decide(ledger, old, {0: "is null"}, results=True)
    assert only_shard(ledger, job) == before
    assert rows_of(ledger, job) == []
    assert row_errors_of(ledger, job) == []


def test_a_frozen_attempt_that_wakes_beside_a_newer_one_decides_nothing(ledger: Ledger) -> None:
    for _ in range(5):
        job = submit(ledger, 2)
        old = claim(ledger, job)
        expire(ledger, job)
        new = claim(ledger, job)

        def try_to(of: Claim) -> bool:
            try:
                decide(ledger, of, {0: f"by attempt {of.attempt}"})
            except AttemptLost:
                return False
            return True

        assert together(partial(try_to, old), partial(try_to, new)) == [False, True]
        assert only_shard(ledger, job).output_file == part_of(new)
        assert row_errors_of(ledger, job) == [(0, "by attempt 2")]


def test_nothing_is_finished_before_it_is_decided_or_after_it_was_cancelled(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    current = claim(ledger, job)
    with pytest.raises(AttemptLost, match="nothing to finish"):
        ledger.attempts.finish_output_file(current)
    decide(ledger, current)
    ledger.control.cancel(job)
    with pytest.raises(AttemptLost):
        ledger.attempts.finish_output_file(current)
    assert ledger.queries.job(job).rows_done == 0


def test_a_lease_that_runs_out_at_the_decision_is_passed_over(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    current = claim(ledger, job)
    with ledger.attempts.writing(current) as writer:
        with ledger.database.connection() as conn:
            conn.execute("UPDATE shards SET lease_until = now() - interval '1 second'")
        writer.decide(part_of(current))
        assert ledger.maintenance.expire_leases() == 0
    assert ledger.maintenance.expire_leases() == 1
    assert claim(ledger, job).output_file == part_of(current)


def test_a_cancel_waits_for_a_decision_and_stops_what_follows(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    current = claim(ledger, job)
    with ThreadPoolExecutor(1) as pool:
        with ledger.attempts.writing(current) as writer:
            writer.decide(part_of(current))
            cancelled = pool.submit(ledger.control.cancel, job)
            wait_for_lock(ledger)
        assert cancelled.result(TIMEOUT_S) is True
    with pytest.raises(AttemptLost):
        ledger.attempts.finish_output_file(current)
    assert only_shard(ledger, job).output_file == part_of(current)


def test_two_who_finish_at_once_count_the_shard_once(ledger: Ledger) -> None:
    for _ in range(5):
        job = submit(ledger, 2, 1)
        current = claim(ledger, job)
        decide(ledger, current)

        def try_to(of: Claim = current) -> bool:
            try:
                ledger.attempts.finish_output_file(of)
            except AttemptLost:
                return False
            return True

        assert sorted(together(try_to, try_to)) == [False, True]
        assert ledger.queries.job(job).shards_done == 1
