"""A planning shard counts the input, and cuts the shards that run it."""

from __future__ import annotations

import pytest

from longshore.shared.errors import AttemptLost
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import NewShard, Ticket
from longshore.shared.vocabulary import State
from tests.integration.support import claim, commit, expire, new_job, rows_of, run, states_of

CUT = [
    NewShard(action="infer", start=0, stop=3, offset=10, length=30),
    NewShard(action="infer", start=3, stop=5, offset=40, length=20),
]


def test_the_shards_of_a_plan_are_run_and_end_the_job(ledger: Ledger) -> None:
    new = new_job(queue="gpu", priority=8, max_attempts=5)
    ledger.submissions.submit([new])
    plan = claim(ledger, new.id)
    assert (plan.action, plan.kind) == ("plan", "infer")
    ledger.attempts.plan(plan, CUT, rows_total=5)

    found = ledger.queries.job(new.id)
    assert (found.state, found.rows_total, found.shards_total, found.shards_done) == (State.RUNNING, 5, 3, 1)
    assert ledger.maintenance.unpublished(grace=0) == [
        Ticket(new.id, 1, "infer", "gpu", 8, 0, 3, "digits", 1),
        Ticket(new.id, 2, "infer", "gpu", 8, 3, 5, "digits", 1),
    ]
    first = claim(ledger, new.id, 1)
    assert (first.offset, first.length, first.attempt_limit) == (10, 30, 5)
    commit(ledger, first)
    run(ledger, new.id, 2)
    found = ledger.queries.job(new.id)
    assert (found.state, found.rows_done) == (State.SUCCEEDED, 5)
    assert rows_of(ledger, new.id) == [0, 1, 2, 3, 4]


def test_a_plan_for_no_rows_ends_the_job(ledger: Ledger) -> None:
    job = ledger.submissions.submit([new_job()])[0]
    ledger.attempts.plan(claim(ledger, job), [], rows_total=0)
    found = ledger.queries.job(job)
    assert (found.state, found.rows_total, found.shards_total) == (State.SUCCEEDED, 0, 1)


def test_a_plan_of_a_lost_attempt_adds_nothing(ledger: Ledger) -> None:
    job = ledger.submissions.submit([new_job()])[0]
    lost = claim(ledger, job)
    expire(ledger, job)
    current = claim(ledger, job)
    with pytest.raises(AttemptLost):
        ledger.attempts.plan(lost, CUT, rows_total=5)
    assert states_of(ledger, job) == ["running"]
    assert ledger.queries.job(job).rows_total is None

    ledger.attempts.plan(current, CUT, rows_total=5)
    with pytest.raises(AttemptLost):
        ledger.attempts.plan(current, CUT, rows_total=5)
    assert states_of(ledger, job) == ["succeeded", "queued", "queued"]


def test_a_retry_keeps_the_plan_and_runs_its_shards(ledger: Ledger) -> None:
    job = ledger.submissions.submit([new_job()])[0]
    ledger.attempts.plan(claim(ledger, job), CUT, rows_total=5)
    run(ledger, job, 2)
    ledger.control.cancel(job)
    assert [ticket.shard for ticket in ledger.control.retry(job)] == [1]
    run(ledger, job, 1)
    found = ledger.queries.job(job)
    assert (found.state, found.rows_done, found.shards_done) == (State.SUCCEEDED, 5, 3)
