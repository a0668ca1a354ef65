"""A claim takes other shards with the same batch key along, and never those that it must leave."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim, NewJob
from longshore.shared.ledger.shards.batching import MAX_BATCH_ROWS, MAX_BATCH_SHARDS, batch_key_of, is_full
from longshore.shared.vocabulary import State
from tests.integration.ledger import invariants
from tests.integration.ledger.test_batch_commit import finished, lines
from tests.integration.support import LEASE, expire, new_job, states_of, together

BATCH_KEY = batch_key_of("sha256:1", "{}")
OTHER = batch_key_of("sha256:1", '{"logits":true}')


def small(rows: int = 1, batch_key: str | None = BATCH_KEY, priority: int = 4, queue: str = "cpu") -> NewJob:
    return new_job(rows, batch_key=batch_key, priority=priority, queue=queue)


def submit_all(ledger: Ledger, *jobs: NewJob) -> list[UUID]:
    return ledger.submissions.submit(jobs)


def take(ledger: Ledger, *jobs: UUID) -> list[Claim]:
    return ledger.attempts.claim_many([(job, 0) for job in jobs], worker="a", lease=LEASE)


def jobs_of(claims: list[Claim]) -> list[UUID]:
    return [claim.job_id for claim in claims]


def test_a_claim_takes_shards_with_its_batch_key_along_and_no_others(ledger: Ledger) -> None:
    first, same, other, alone, elsewhere = submit_all(
        ledger, small(), small(), small(batch_key=OTHER), small(batch_key=None), small(queue="gpu")
    )
    assert jobs_of(take(ledger, first)) == [first, same]
    assert [states_of(ledger, job) for job in (other, alone, elsewhere)] == [["queued"]] * 3
    assert take(ledger, same) == []


def test_less_urgent_work_does_not_come_along(ledger: Ledger) -> None:
    low, ticket, high = submit_all(ledger, small(priority=3), small(priority=4), small(priority=9))
    assert sorted(jobs_of(take(ledger, ticket))) == sorted([ticket, high])
    assert states_of(ledger, low) == ["queued"]


def test_a_message_leads_to_shards_with_its_batch_key_when_its_own_shard_has_ended(ledger: Ledger) -> None:
    [ended] = submit_all(ledger, small())
    claims = take(ledger, ended)
    ledger.attempts.commit_batch([finished(claim) for claim in claims], lines(claims))
    late = submit_all(ledger, small(), small())
    assert jobs_of(take(ledger, ended)) == late


def test_the_most_urgent_and_oldest_come_first_while_there_is_room(ledger: Ledger) -> None:
    jobs = submit_all(ledger, *(small(priority=4 + number % 2) for number in range(MAX_BATCH_SHARDS + 44)))
    urgent, others = jobs[1::2], jobs[2::2]
    claims = take(ledger, jobs[0])
    assert is_full(len(claims), len(claims))
    room = MAX_BATCH_SHARDS - 1 - len(urgent)
    assert sorted(jobs_of(claims)) == sorted([jobs[0], *urgent, *others[:room]])
    rest = take(ledger, jobs[0])
    assert jobs_of(rest) == others[room:]
    assert not is_full(len(rest), len(rest))


def test_rows_are_limited_too(ledger: Ledger) -> None:
    jobs = submit_all(ledger, *(small(rows=200) for _ in range(8)))
    first, second = take(ledger, jobs[0]), take(ledger, jobs[0])
    assert sum(claim.stop for claim in first) <= MAX_BATCH_ROWS
    assert is_full(len(first), sum(claim.stop for claim in first))
    assert jobs_of([*first, *second]) == jobs


def test_more_can_be_claimed_for_a_group_that_waits(ledger: Ledger) -> None:
    [job] = submit_all(ledger, small())
    [first] = take(ledger, job)
    late = submit_all(ledger, small(), small(batch_key=OTHER), small(priority=3), small(rows=2), small())
    more = ledger.attempts.claim_more(first, 2, 100, worker="a", lease=LEASE)
    assert jobs_of(more) == [late[0], late[3]]
    assert ledger.attempts.claim_more(first, 10, 0, worker="a", lease=LEASE) == []


def test_a_shard_that_was_tried_before_brings_nobody_and_comes_with_nobody(ledger: Ledger) -> None:
    tried, fresh = submit_all(ledger, small(), small())
    assert len(take(ledger, tried)) == 2
    for job in (tried, fresh):
        expire(ledger, job)
    [third] = submit_all(ledger, small())
    assert jobs_of(take(ledger, third)) == [third]
    [fourth] = submit_all(ledger, small())
    assert jobs_of(take(ledger, tried)) == [tried]
    assert states_of(ledger, fourth) == ["queued"]
    assert jobs_of(take(ledger, tried)) == [fourth]


def test_a_cancelled_job_is_left_out(ledger: Ledger) -> None:
    first, cancelled, last = submit_all(ledger, small(), small(), small())
    ledger.control.cancel(cancelled)
    assert jobs_of(take(ledger, first)) == [first, last]
    # Cancelled before it was ever tried: it is as it was.
    ledger.control.retry(cancelled)
    assert jobs_of(take(ledger, cancelled)) == [cancelled]


@pytest.mark.parametrize("seed", [1, 2])
def test_producers_and_workers_at_once_lose_and_double_nothing(ledger: Ledger, seed: int) -> None:
    """A worker that takes a message also takes the waiting shards with its batch key; in the end each is done once."""
    names: list[UUID] = []

    def produce(member: int) -> int:
        chance = random.Random(10 * seed + member)
        for _ in range(40):
            names.extend(submit_all(ledger, small(priority=chance.choice([4, 9]))))
        return 0

    def work(member: int) -> int:
        chance, done = random.Random(100 * seed + member), 0
        while done < 1000 and (not names or len(names) < 120 or _waiting(ledger)):
            if not names:
                continue
            claims = take(ledger, chance.choice(names))
            lost = ledger.attempts.commit_batch([finished(each) for each in claims], lines(claims))
            assert lost == set()
            done += len(claims)
        return done

    done = together(*(lambda m=m: produce(m) for m in range(3)), *(lambda m=m: work(m) for m in range(3)))
    found = invariants.check(ledger)
    assert sum(done) == len(found) == 120
    assert {each.job.state for each in found} == {State.SUCCEEDED}


def _waiting(ledger: Ledger) -> bool:
    return any(not job.state.final for job in ledger.queries.jobs(limit=200))
