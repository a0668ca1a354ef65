"""Questions to the ledger, and to its list of workers."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import cast
from uuid import uuid4

from longshore.shared.ledger.jobs.filter import JobFilter
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.queries import ResultRecord, RowErrorRecord
from longshore.shared.ledger.schema_revision import newest_revision
from longshore.shared.ledger.workers import Presence
from longshore.shared.vocabulary import State
from tests.integration.support import claim, commit, new_job, run, submit
from tests.waiting import wait_until

WORKER = Presence(name="cpu:0@tests", device="cpu:0", queue="cpu", host="tests", pid=4711, families=["mlp", "linear"])


def test_jobs_are_listed_newest_first_by_state_and_kind(ledger: Ledger) -> None:
    train = ledger.submissions.submit([new_job(1, kind="train", version=None)])[0]
    jobs = [submit(ledger, 1) for _ in range(3)]
    run(ledger, jobs[1])
    claim(ledger, jobs[2])

    def listed(state: State | None = None, kind: str | None = None, limit: int = 100) -> list[object]:
        chosen = JobFilter(
            states=frozenset() if state is None else frozenset([state]),
            kinds=frozenset() if kind is None else frozenset([kind]),
        )
        return [job.id for job in ledger.queries.jobs(chosen, limit)]

    assert listed() == [*reversed(jobs), train]
    assert listed(limit=2) == [jobs[2], jobs[1]]
    assert listed(kind="train") == [train]
    assert listed(State.QUEUED) == [jobs[0], train]
    assert listed(State.QUEUED, "infer") == [jobs[0]]
    assert listed(State.CANCELLED) == []


def test_of_many_jobs_those_that_have_not_ended(ledger: Ledger) -> None:
    waits, runs, done, failed, cancelled = (submit(ledger, 1) for _ in range(5))
    run(ledger, done)
    claim(ledger, runs)
    ledger.attempts.fail(claim(ledger, failed), "broken", permanent=True)
    ledger.control.cancel(cancelled)
    assert ledger.queries.not_ended([waits, runs, done, failed, cancelled, uuid4()]) == {waits, runs}
    assert ledger.queries.not_ended([]) == set()


def test_what_a_job_has_not_is_empty(ledger: Ledger) -> None:
    job = submit(ledger, 1)
    assert list(ledger.queries.results(job)) == ledger.queries.few_results(job) == []
    assert ledger.queries.row_errors(job) == []
    assert ledger.queries.metrics(job) == []
    assert ledger.queries.shards(uuid4()) == []


def test_row_errors_are_listed_by_row_to_a_limit(ledger: Ledger) -> None:
    job = submit(ledger, 4)
    commit(ledger, claim(ledger, job), {3: "three", 0: "zero", 1: "one"})
    assert ledger.queries.row_errors(job, limit=2) == [RowErrorRecord(0, "zero"), RowErrorRecord(1, "one")]


def test_results_can_be_left_half_read(ledger: Ledger) -> None:
    job = submit(ledger, 500)
    run(ledger, job)
    with closing(cast("Generator[ResultRecord]", ledger.queries.results(job))) as reading:
        assert next(reading) == ResultRecord(0, '{"row": 0}')
    assert len(list(ledger.queries.results(job))) == 500


def test_few_results_are_the_same_read_at_once(ledger: Ledger) -> None:
    job = submit(ledger, 20)
    commit(ledger, claim(ledger, job), {7: "seven"})
    found = ledger.queries.few_results(job)
    assert found == list(ledger.queries.results(job))
    assert [record.row for record in found] == [row for row in range(20) if row != 7]


def test_workers_come_are_heard_of_and_go(ledger: Ledger) -> None:
    assert ledger.workers.workers() == []
    ledger.workers.see(WORKER)
    (first,) = ledger.workers.workers()
    assert {name: getattr(first, name) for name in vars(WORKER)} == vars(WORKER)
    assert first.alive

    ledger.workers.see(WORKER)
    (second,) = ledger.workers.workers()
    assert (second.started_at, second.seen_at > first.seen_at) == (first.started_at, True)
    ledger.workers.see(replace(WORKER, pid=4712))
    (third,) = ledger.workers.workers()
    assert third.started_at > first.started_at

    # Another process works under its name by now.
    ledger.workers.forget(WORKER)
    assert [worker.pid for worker in ledger.workers.workers()] == [4712]
    ledger.workers.forget(replace(WORKER, pid=4712))
    assert ledger.workers.workers() == []


def test_a_silent_worker_counts_as_gone_but_its_families_are_known(ledger: Ledger) -> None:
    ledger.workers.see(WORKER)
    ledger.workers.see(replace(WORKER, name="cuda:0@tests", queue="gpu", families=["mlp", "cnn"]))
    assert ledger.workers.live_queues() == {"cpu", "gpu"}
    with ledger.database.connection() as conn:
        conn.execute("UPDATE workers SET seen_at = now() - interval '1 hour' WHERE queue = 'gpu'")

    assert ledger.workers.live_queues() == {"cpu"}
    assert [(worker.name, worker.alive) for worker in ledger.workers.workers()] == [
        ("cpu:0@tests", True),
        ("cuda:0@tests", False),
    ]
    assert ledger.workers.families() == {"linear", "mlp", "cnn"}


def test_the_installation_is_described(ledger: Ledger) -> None:
    assert ledger.queries.count_jobs() == {}
    done, _ = submit(ledger, 1), submit(ledger, 1)
    run(ledger, done)
    assert ledger.queries.count_jobs() == {"succeeded": 1, "queued": 1}
    assert int(ledger.queries.server_version().split(".")[0]) >= 14
    assert ledger.queries.schema_revision() == newest_revision()

    assert ledger.queries.relay_silence() is None
    with ledger.database.own_connection() as conn:
        assert ledger.maintenance.try_lead(conn)
        assert ledger.queries.relay_silence() is not None
    wait_until(lambda: ledger.queries.relay_silence() is None)
