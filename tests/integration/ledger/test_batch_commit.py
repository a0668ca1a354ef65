"""Small shards are claimed and committed together, and each keeps its own fence, counters and errors."""

from __future__ import annotations

import random
from dataclasses import replace
from uuid import UUID

import pyarrow as pa

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.batching import Finished
from longshore.shared.ledger.shards.copy_rows import result_lines
from longshore.shared.vocabulary import State
from tests.integration.support import LEASE, expire, new_job, row_errors_of, rows_of, states_of, submit, together

WORKER = "cpu:0@tests"


def claim_many(ledger: Ledger, names: list[tuple[UUID, int]]) -> list[Claim]:
    return ledger.attempts.claim_many(names, worker=WORKER, lease=LEASE)


def lines(claims: list[Claim], leave_out: frozenset[int] = frozenset()) -> memoryview:
    places = [(claim, row) for claim in claims for row in range(claim.start, claim.stop) if row not in leave_out]
    jobs = pa.array([str(claim.job_id) for claim, _ in places], pa.string())
    rows = pa.array([row for _, row in places], pa.int64())
    return result_lines(jobs, rows, pa.array([f'{{"row": {row}}}' for _, row in places], pa.string()))


def finished(claim: Claim, errors: dict[int, str] | None = None) -> Finished:
    return Finished(claim, claim.stop - claim.start - len(errors or {}), errors or {})


def test_shards_of_many_jobs_end_in_one_transaction(ledger: Ledger) -> None:
    jobs = [submit(ledger, 2) for _ in range(20)] + [submit(ledger, 1, 3)]
    names = [(job, 0) for job in jobs] + [(jobs[-1], 1)]
    claims = claim_many(ledger, names)
    assert [(claim.job_id, claim.shard) for claim in claims] == sorted(names)
    assert ledger.attempts.commit_batch([finished(claim) for claim in claims], lines(claims)) == set()
    for job in jobs:
        record = ledger.queries.job(job)
        assert record.state is State.SUCCEEDED
        assert record.rows_done == record.rows_total
        assert rows_of(ledger, job) == list(range(record.rows_done))


def test_notes_reach_the_jobs_that_they_are_about(ledger: Ledger) -> None:
    noted, other = submit(ledger, 1, 1), submit(ledger, 1)
    claims = claim_many(ledger, [(noted, 0), (noted, 1), (other, 0)])
    sentences = {noted: ["a batch did not fit", "a text was cut"], other: []}
    done = [replace(finished(claim), notes=sentences[claim.job_id]) for claim in claims]
    assert ledger.attempts.commit_batch(done, lines(claims)) == set()
    assert ledger.queries.job(noted).notes == ["a batch did not fit", "a text was cut"]
    assert ledger.queries.job(other).notes == []


def test_only_what_waits_is_claimed(ledger: Ledger) -> None:
    running, done, waiting = (submit(ledger, 1) for _ in range(3))
    first = claim_many(ledger, [(running, 0), (done, 0)])
    ledger.attempts.commit_batch([finished(first[1])], lines([first[1]]))
    again = claim_many(ledger, [(running, 0), (done, 0), (waiting, 0), (waiting, 7)])
    assert [(claim.job_id, claim.shard) for claim in again] == [(waiting, 0)]


def test_a_lost_shard_keeps_the_others_from_being_written_until_it_is_left_out(ledger: Ledger) -> None:
    kept, cancelled, expired = (submit(ledger, 2) for _ in range(3))
    claims = claim_many(ledger, [(job, 0) for job in (kept, cancelled, expired)])
    ledger.control.cancel(cancelled)
    expire(ledger, expired)
    done = [finished(claim) for claim in claims]
    lost = ledger.attempts.commit_batch(done, lines(claims))
    assert lost == {(cancelled, 0), (expired, 0)}
    assert rows_of(ledger, kept) == []
    rest = [claim for claim in claims if (claim.job_id, claim.shard) not in lost]
    assert ledger.attempts.commit_batch([finished(claim) for claim in rest], lines(rest)) == set()
    assert rows_of(ledger, kept) == [0, 1]
    assert rows_of(ledger, cancelled) == rows_of(ledger, expired) == []
    assert states_of(ledger, expired) == ["queued"]


def test_a_bad_row_is_its_own_jobs_alone(ledger: Ledger) -> None:
    good, bad = submit(ledger, 3), submit(ledger, 3)
    claims = claim_many(ledger, [(good, 0), (bad, 0)])
    of = {claim.job_id: claim for claim in claims}
    text = bytes(lines([of[good]])) + bytes(lines([of[bad]], frozenset({1})))
    ledger.attempts.commit_batch([finished(of[good]), finished(of[bad], {1: "is null"})], memoryview(text))
    assert ledger.queries.job(good).state is State.SUCCEEDED
    record = ledger.queries.job(bad)
    assert (record.state, record.rows_done, record.rows_failed) == (State.FAILED, 2, 1)
    assert row_errors_of(ledger, bad) == [(1, "is null")]
    assert row_errors_of(ledger, good) == []


def test_workers_that_take_the_same_shards_in_any_order_share_them(ledger: Ledger) -> None:
    jobs = ledger.submissions.submit([new_job(1, 1) for _ in range(40)])
    names = [(job, shard) for job in jobs for shard in (0, 1)]
    orders = [random.Random(seed).sample(names, len(names)) for seed in range(4)]

    def work(order: list[tuple[UUID, int]]) -> int:
        claims = claim_many(ledger, order)
        assert ledger.attempts.commit_batch([finished(claim) for claim in claims], lines(claims)) == set()
        return len(claims)

    assert sum(together(*(lambda order=order: work(order) for order in orders))) == len(names)
    assert {ledger.queries.job(job).state for job in jobs} == {State.SUCCEEDED}
    assert all(rows_of(ledger, job) == [0, 1] for job in jobs)
