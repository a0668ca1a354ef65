"""Two at the same rows in the same moment: one wins, as a whole, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from longshore.shared.errors import AttemptLost, ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.vocabulary import State
from tests.integration.support import (
    LEASE,
    claim,
    commit,
    expire,
    lines,
    rows_of,
    run,
    states_of,
    submit,
    together,
    wait_for_lock,
)
from tests.waiting import TIMEOUT_S


def timeouts(ledger: Ledger) -> tuple[str, ...] | None:
    """What ends a transaction, a statement or a wait for a lock of the ledger's connections; 0 is never."""
    with ledger.database.connection() as conn:
        return conn.execute(
            """SELECT current_setting('idle_in_transaction_session_timeout'), current_setting('statement_timeout'),
                      current_setting('lock_timeout')"""
        ).fetchone()


def test_a_cancel_waits_for_a_commit_that_has_passed_the_fence(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    current = claim(ledger, job)
    with ThreadPoolExecutor(1) as pool:
        with ledger.attempts.writing(current) as writer:
            writer.results(lines(current))
            writer.fence(2)
            cancelled = pool.submit(ledger.control.cancel, job)
            wait_for_lock(ledger)
            writer.finish()
        assert cancelled.result(TIMEOUT_S) is False
    assert ledger.queries.job(job).state is State.SUCCEEDED
    assert rows_of(ledger, job) == [0, 1]


def test_a_commit_that_meets_a_cancel_at_the_fence_is_lost(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    current = claim(ledger, job)
    with ThreadPoolExecutor(2) as pool:
        with ledger.database.transaction() as conn:
            # Whoever cancels holds the shards, and waits here for the job.
            conn.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", [job])
            cancelled = pool.submit(ledger.control.cancel, job)
            wait_for_lock(ledger)
            committed = pool.submit(commit, ledger, current)
            wait_for_lock(ledger, waiting=2)
        assert cancelled.result(TIMEOUT_S) is True
        with pytest.raises(AttemptLost):
            committed.result(TIMEOUT_S)
    assert ledger.queries.job(job).state is State.CANCELLED
    assert rows_of(ledger, job) == []


def test_a_lease_that_runs_out_while_its_attempt_commits_is_passed_over(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    current = claim(ledger, job)
    with ledger.attempts.writing(current) as writer:
        writer.results(lines(current))
        with ledger.database.connection() as conn:
            conn.execute("UPDATE shards SET lease_until = now() - interval '1 second'")
        writer.fence(2)
        assert ledger.maintenance.expire_leases() == 0
        writer.finish()
    assert ledger.maintenance.expire_leases() == 0
    assert ledger.queries.job(job).state is State.SUCCEEDED


def test_a_frozen_attempt_with_rows_half_written_does_not_hold_up_the_next(ledger: Ledger) -> None:
    job = submit(ledger, 3)
    frozen = claim(ledger, job)

    def freeze_and_go_on() -> None:
        # The pool ends after the transaction: a thread that waits for its locks goes on.
        with ThreadPoolExecutor(1) as pool, ledger.attempts.writing(frozen) as writer:
            writer.results(lines(frozen))
            expire(ledger, job)
            assert timeouts(ledger) == ("10s", "0", "0"), "nothing else would end by itself"
            pool.submit(run, ledger, job).result(TIMEOUT_S)
            assert ledger.queries.job(job).state is State.SUCCEEDED
            writer.results(lines(frozen))
            writer.fence(3)

    with pytest.raises(ServiceUnavailable):
        freeze_and_go_on()
    assert rows_of(ledger, job) == [0, 1, 2]


def test_a_worker_that_hangs_after_the_fence_does_not_keep_the_shard(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    current = claim(ledger, job)

    def hang() -> None:
        with ThreadPoolExecutor(1) as pool, ledger.attempts.writing(current) as writer:
            writer.results(lines(current))
            writer.fence(2)
            # It waits for the shard until Postgres has ended the transaction.
            assert pool.submit(ledger.control.cancel, job).result(TIMEOUT_S) is True
            writer.finish()

    with pytest.raises(ServiceUnavailable):
        hang()
    assert ledger.queries.job(job).state is State.CANCELLED
    assert rows_of(ledger, job) == []


def test_a_new_attempt_leaves_the_writing_of_other_shards_alone(ledger: Ledger) -> None:
    job = submit(ledger, *[1] * 11)
    other = claim(ledger, job, 10)
    with ledger.attempts.writing(other) as writer:
        writer.results(lines(other))
        claim(ledger, job, 1)
        expire(ledger, job, 1)
        assert claim(ledger, job, 1).attempt == 2
        writer.fence(1)
        writer.finish()
    assert rows_of(ledger, job) == [10]


def test_the_last_shards_that_end_together_end_the_job_once(ledger: Ledger) -> None:
    for _ in range(5):
        job = submit(ledger, 1, 1, 1, 1, max_attempts=1)
        claims = [claim(ledger, job, shard) for shard in range(4)]
        ends: list[Callable[[], object]] = [partial(commit, ledger, each) for each in claims[:3]]
        together(*ends, partial(ledger.attempts.fail, claims[3], "broken", permanent=False))
        found = ledger.queries.job(job)
        assert (found.state, found.shards_done, found.shards_failed) == (State.FAILED, 3, 1)


def test_two_permanent_failures_at_once_end_the_job_once(ledger: Ledger) -> None:
    for _ in range(5):
        job = submit(ledger, 1, 1, 1)
        claims = [claim(ledger, job, shard) for shard in range(3)]
        states = together(*[partial(ledger.attempts.fail, each, "broken", permanent=True) for each in claims])
        assert sorted(map(str, states)) == ["None", "None", "failed"]
        assert sorted(states_of(ledger, job)) == ["cancelled", "cancelled", "failed"]
        assert ledger.queries.job(job).shards_failed == 1


@pytest.mark.parametrize("end", ["renewed", "committed"])
def test_a_claim_that_began_before_a_cancel_and_a_retry_has_its_job_running(ledger: Ledger, end: str) -> None:
    job = submit(ledger, 1, 1)
    claim(ledger, job)
    with ThreadPoolExecutor(1) as pool:
        with ledger.database.transaction() as conn:
            # What a cancel and a retry leave. The claim sees the job as it was when it began: running.
            conn.execute("SELECT FROM shards WHERE job_id = %s FOR UPDATE", [job])
            claimed = pool.submit(claim, ledger, job, 1)
            wait_for_lock(ledger)
            conn.execute("UPDATE jobs SET state = 'queued', started_at = NULL WHERE id = %s", [job])
            conn.execute("UPDATE shards SET state = 'queued', lease_until = NULL WHERE job_id = %s", [job])
        current = claimed.result(TIMEOUT_S)
    if end == "renewed":
        assert ledger.attempts.renew(current, lease=LEASE, rows=0, changed=False)
    else:
        commit(ledger, current)
    record = ledger.queries.job(job)
    assert record.state is State.RUNNING
    assert record.started_at is not None
    run(ledger, job, 0)
    assert ledger.queries.job(job).state is (State.SUCCEEDED if end == "committed" else State.RUNNING)
