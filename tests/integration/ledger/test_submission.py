"""Submitting: all of it or none, and one job for one idempotency key."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from longshore.shared.errors import InvalidInput, LedgerRefused
from longshore.shared.ledger.jobs.submission import tickets_of
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import NewInput
from longshore.shared.vocabulary import State
from tests.integration.support import new_job, together


def test_what_was_submitted_is_there(ledger: Ledger) -> None:
    new = new_job(3, 2, priority=7, timeout=60)
    job = ledger.submissions.submit([new])[0]
    found = ledger.queries.job(job)

    assert job == new.id
    assert (found.state, found.priority, found.rows_total, found.shards_total) == (State.QUEUED, 7, 5, 2)
    assert found.spec == {"data": {"uri": "file:///rows.parquet", "format": "parquet"}}
    assert found.deadline is not None
    assert found.deadline - found.created_at == timedelta(seconds=60)
    shards = ledger.queries.shards(job)
    assert [(shard.index, shard.start, shard.stop) for shard in shards] == [(0, 0, 3), (1, 3, 5)]
    assert all(shard.attempt == 0 and shard.attempt_limit == 3 for shard in shards)
    assert ledger.maintenance.unpublished(grace=0) == tickets_of([new])


def test_one_bad_job_keeps_all_of_a_call_out(ledger: Ledger) -> None:
    block = NewInput(id=uuid4(), data=b"rows")
    with pytest.raises(LedgerRefused, match="jobs_priority_check"):
        ledger.submissions.submit([new_job(1), new_job(1, priority=10)], [block])

    assert ledger.queries.jobs() == []
    assert ledger.maintenance.unpublished(grace=0) == []
    assert ledger.submissions.read_inputs([block.id]) == {}


def test_inputs_are_read_back(ledger: Ledger) -> None:
    data, blob = NewInput(id=uuid4(), data=b"\x00rows\xff"), NewInput(id=uuid4(), blob="sha256:12")
    ledger.submissions.submit([new_job(1)], [data, blob])
    assert ledger.submissions.read_inputs([data.id, blob.id]) == {data.id: data, blob.id: blob}


def test_the_same_key_is_the_same_job(ledger: Ledger) -> None:
    first = ledger.submissions.submit([new_job(1, key="monday", request="a")])
    again = ledger.submissions.submit([new_job(1, key="monday", request="a"), new_job(1)])

    assert again[0] == first[0]
    assert {job.id for job in ledger.queries.jobs()} == {*first, *again}


def test_a_key_belongs_to_its_producer(ledger: Ledger) -> None:
    mine = ledger.submissions.submit([new_job(1, key="monday", request="a", producer="me")])
    yours = ledger.submissions.submit([new_job(1, key="monday", request="b", producer="you")])
    assert mine != yours


def test_a_key_used_for_something_else_is_refused(ledger: Ledger) -> None:
    first = ledger.submissions.submit([new_job(1, key="monday", request="a")])[0]
    with pytest.raises(InvalidInput, match=rf"'monday' was used before for another request, job {first}") as caught:
        ledger.submissions.submit([new_job(1), new_job(1, key="monday", request="b")])

    assert caught.value.field == "idempotency_key"
    assert [job.id for job in ledger.queries.jobs()] == [first]


def test_a_key_twice_in_one_call_is_one_job(ledger: Ledger) -> None:
    first, second = ledger.submissions.submit([new_job(1, key="monday", request="a") for _ in range(2)])
    assert first == second
    assert len(ledger.queries.jobs()) == 1

    with pytest.raises(InvalidInput, match="another request"):
        ledger.submissions.submit([new_job(1, key="tuesday", request=request) for request in "ab"])
    assert len(ledger.queries.jobs()) == 1


def test_many_who_use_one_key_at_once_get_one_job(ledger: Ledger) -> None:
    def submit() -> UUID:
        return ledger.submissions.submit([new_job(2, 2, key="monday", request="a")])[0]

    assert len(set(together(*[submit] * 4))) == 1
    (job,) = ledger.queries.jobs()
    assert len(ledger.queries.shards(job.id)) == 2


def test_keys_in_opposite_orders_do_not_wait_for_each_other(ledger: Ledger) -> None:
    keys = [f"key {number}" for number in range(400)]

    def submit(order: int) -> set[UUID]:
        jobs = [new_job(1, key=key, request="a") for key in keys[::order]]
        return set(ledger.submissions.submit(jobs))

    for _ in range(3):
        one, other = together(lambda: submit(1), lambda: submit(-1))
        assert one == other
        keys = [f"{key}'" for key in keys]


def test_an_id_that_is_taken_is_an_error_and_no_endless_try(ledger: Ledger) -> None:
    new = new_job(1)
    ledger.submissions.submit([new])
    with pytest.raises(psycopg.errors.UniqueViolation):
        ledger.submissions.submit([replace(new, model="letters")])
    assert ledger.queries.job(new.id).model == "digits"


def test_what_waits_to_be_published_is_listed_most_urgent_first(ledger: Ledger) -> None:
    jobs = [new_job(1, 1, priority=priority) for priority in (4, 9, 0, 9)]
    ledger.submissions.submit(jobs)
    expected = [name for index in (1, 3, 0, 2) for name in ((jobs[index].id, 0), (jobs[index].id, 1))]

    def listed(limit: int) -> list[tuple[UUID, int]]:
        return [(ticket.job_id, ticket.shard) for ticket in ledger.maintenance.unpublished(grace=0, limit=limit)]

    assert listed(100) == expected
    assert listed(3) == expected[:3]


def test_marking_as_published_leaves_claimed_shards_alone(ledger: Ledger) -> None:
    new = new_job(1, 1)
    ledger.submissions.submit([new])
    ledger.attempts.claim(new.id, 0, worker="cpu:0", lease=60)
    ledger.submissions.mark_published([(uuid4(), tickets_of([new]))])

    assert ledger.maintenance.unpublished(grace=0) == []
    with ledger.database.connection() as conn:
        published = conn.execute("SELECT index FROM shards WHERE published_at IS NOT NULL").fetchall()
    assert published == [(1,)]
