"""The next shard of a job, claimed before its ticket has come."""

from __future__ import annotations

from functools import partial
from uuid import UUID

import pytest

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from tests.integration.ledger import invariants
from tests.integration.support import LEASE, claim, commit, expire, new_job, states_of, submit, together


def take_next(ledger: Ledger, present: Claim) -> Claim | None:
    return ledger.attempts.claim_next(present, worker="cpu:0@tests", lease=LEASE)


def test_it_is_the_first_that_waits_and_its_ticket_finds_nothing(ledger: Ledger) -> None:
    job = submit(ledger, 2, 2, 2)
    present = claim(ledger, job)
    found = take_next(ledger, present)
    assert found is not None
    assert (found.shard, found.start, found.stop, found.attempt, found.spec) == (1, 2, 4, 1, present.spec)
    assert states_of(ledger, job) == ["running", "running", "queued"]
    assert ledger.attempts.claim(job, 1, worker="b", lease=LEASE) is None
    invariants.check(ledger)
    commit(ledger, present)
    commit(ledger, found)
    last = take_next(ledger, found)
    assert last is not None
    assert (last.shard, take_next(ledger, last)) == (2, None)


def test_handed_back_it_is_as_if_it_was_never_taken(ledger: Ledger) -> None:
    job = submit(ledger, 2, 2, max_attempts=1)
    present = claim(ledger, job)
    found = take_next(ledger, present)
    assert found is not None
    assert ledger.attempts.release(found)
    assert take_next(ledger, present) is None, "it has a ticket of its own now"
    commit(ledger, claim(ledger, job, 1))
    commit(ledger, present)
    assert ledger.queries.job(job).rows_done == 4
    assert [shard.errors for shard in ledger.queries.shards(job)] == [[], []]


@pytest.mark.parametrize(
    ("queue", "priority", "goes_first"), [("cpu", 5, True), ("cpu", 4, False), ("cpu", 3, False), ("gpu", 9, False)]
)
def test_what_is_more_urgent_goes_first(ledger: Ledger, queue: str, priority: int, goes_first: bool) -> None:
    job = submit(ledger, 2, 2)
    present = claim(ledger, job)
    ledger.submissions.submit([new_job(1, queue=queue, priority=priority)])
    assert (take_next(ledger, present) is None) is goes_first


@pytest.mark.parametrize("what", ["cancelled", "tried before", "small", "of another job"])
def test_what_is_left_alone(ledger: Ledger, what: str) -> None:
    batch_key = "a" * 32 if what == "small" else None
    [job] = ledger.submissions.submit([new_job(2, 2, batch_key=batch_key)])
    present = ledger.attempts.claim(job, 0, worker="a", lease=LEASE)
    assert present is not None
    if what == "cancelled":
        ledger.control.cancel(job)
    elif what == "tried before":
        claim(ledger, job, 1)
        expire(ledger, job)
    elif what == "of another job":
        claim(ledger, job, 1)
        submit(ledger, 2, 2)
    assert take_next(ledger, present) is None


def test_two_workers_take_different_ones(ledger: Ledger) -> None:
    for _ in range(5):
        job: UUID = submit(ledger, 1, 1, 1, 1)
        first, second = claim(ledger, job, 0), claim(ledger, job, 1)
        found = together(partial(take_next, ledger, first), partial(take_next, ledger, second))
        assert {each.shard for each in found if isinstance(each, Claim)} <= {2, 3}
        assert len({each.shard for each in found if isinstance(each, Claim)}) == len([each for each in found if each])
        invariants.check(ledger)
