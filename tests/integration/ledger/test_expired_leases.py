"""Leases that run out: many at once, of many jobs, in few transactions."""

from __future__ import annotations

from longshore.shared.fault_point import armed
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.maintenance import MAX_EXPIRED
from longshore.shared.vocabulary import State
from tests.integration.ledger import invariants
from tests.integration.support import LEASE, claim, commit, new_job, states_of


def let_all_leases_run_out(ledger: Ledger) -> None:
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET lease_until = now() - interval '1 second' WHERE state = 'running'")


def test_an_outage_of_all_workers_takes_few_transactions(ledger: Ledger) -> None:
    shards = MAX_EXPIRED + 100
    jobs = [new_job(*[1] * (shards // 2)), new_job(*[1] * (shards // 2), max_attempts=1)]
    ledger.submissions.submit(jobs)
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET state = 'running', attempt = 1, lease_until = now() - interval '1 second'")
        conn.execute("UPDATE jobs SET state = 'running', started_at = now()")
    passed: list[str] = []
    with armed(passed.append):
        assert ledger.maintenance.expire_leases() == shards
    assert passed.count("ledger:committed") == 2
    again, failed = (ledger.queries.job(job.id) for job in jobs)
    assert (again.state, again.shards_failed) == (State.RUNNING, 0)
    assert (failed.state, failed.shards_failed) == (State.FAILED, shards // 2)
    assert failed.error == "the worker was lost: its lease ran out"
    assert set(states_of(ledger, again.id)) == {"queued"}
    assert set(states_of(ledger, failed.id)) == {"failed"}
    invariants.check(ledger)


def test_a_job_ends_with_the_last_of_its_leases(ledger: Ledger) -> None:
    one, two = new_job(1, 1, max_attempts=1), new_job(1, 1, max_attempts=1)
    ledger.submissions.submit([one, two])
    commit(ledger, claim(ledger, one.id, 0))
    for job, shard in ((one.id, 1), (two.id, 0)):
        claim(ledger, job, shard)
    let_all_leases_run_out(ledger)
    assert ledger.maintenance.expire_leases() == 2
    assert ledger.queries.job(one.id).state is State.FAILED
    assert ledger.queries.job(two.id).state is State.RUNNING
    assert ledger.queries.shards(one.id)[1].errors[0]["worker"] == "cpu:0@tests"
    invariants.check(ledger)


def test_a_shard_that_is_being_committed_is_left_alone(ledger: Ledger) -> None:
    job = new_job(1, 1)
    ledger.submissions.submit([job])
    first = claim(ledger, job.id, 0)
    claim(ledger, job.id, 1)
    let_all_leases_run_out(ledger)
    with ledger.attempts.writing(first) as writer:
        writer.fence(0)
        assert ledger.maintenance.expire_leases() == 1
        writer.row_errors({0: "bad"})
        writer.finish()
    assert states_of(ledger, job.id) == ["succeeded", "queued"]
    assert ledger.attempts.claim(job.id, 1, worker="b", lease=LEASE) is not None
    invariants.check(ledger)
