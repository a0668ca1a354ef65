"""What is true of the ledger at every moment, whatever was done to it; and how to bring its jobs to their end."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from uuid import UUID

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim, JobRecord, NewShard, ShardRecord
from longshore.shared.vocabulary import State
from tests.integration.support import LEASE, commit

#: The shards that a plan cuts in these tests: 2 and 1 rows.
PLAN = (NewShard(action="infer", start=0, stop=2), NewShard(action="infer", start=2, stop=3))
#: More rounds than any chain here has shards or tries.
ROUNDS = 60


@dataclass(frozen=True)
class Snapshot:
    """A job with all that belongs to it."""

    job: JobRecord
    shards: list[ShardRecord]
    #: The rows that have results, and those that have errors.
    written: list[int]
    failed: list[int]


def look(ledger: Ledger) -> list[Snapshot]:
    """Every job as it is now."""
    with ledger.database.connection() as conn:
        written = _by_job(conn.execute("SELECT job_id, row FROM results ORDER BY row").fetchall())
        failed = _by_job(conn.execute("SELECT job_id, row FROM row_errors ORDER BY row").fetchall())
    return [
        Snapshot(job, ledger.queries.shards(job.id), written.get(job.id, []), failed.get(job.id, []))
        for job in ledger.queries.jobs(limit=1000)
    ]


def check(ledger: Ledger) -> list[Snapshot]:
    """Fail where something is not as it must be; nobody else may be at work."""
    found = look(ledger)
    for each in found:
        if each.job.kind == "infer":
            _check_rows(each)
            _check_counters(each)
        _check_state(each.job, each.shards)
    return found


def finish(ledger: Ledger, claim: Claim) -> None:
    """Commit an attempt, whatever it has to do.

    :raises AttemptLost: it is not the current one.
    """
    if claim.action == "plan":
        ledger.attempts.plan(claim, PLAN, rows_total=3)
    else:
        commit(ledger, claim)


def bring_to_the_end(ledger: Ledger) -> None:
    """Do what a relay and a worker do, until no job is left that has not ended."""
    for _ in range(ROUNDS):
        with ledger.database.connection() as conn:
            conn.execute("UPDATE shards SET lease_until = now() - interval '1 second' WHERE state = 'running'")
        ledger.maintenance.expire_leases()
        ledger.chains.advance()
        if all(job.state.final for job in ledger.queries.jobs(limit=1000)):
            return
        open_shards = [
            (job.id, shard.index)
            for job in ledger.queries.jobs(limit=1000)
            if not job.state.final
            for shard in ledger.queries.shards(job.id)
            if shard.state is State.QUEUED
        ]
        for job_id, index in open_shards:
            claim = ledger.attempts.claim(job_id, index, worker="last", lease=LEASE)
            assert claim is not None
            finish(ledger, claim)
    raise AssertionError(f"not ended: {[job for job in ledger.queries.jobs(limit=1000) if not job.state.final]}")


def _by_job(rows: list[tuple[UUID, int]]) -> dict[UUID, list[int]]:
    found: dict[UUID, list[int]] = defaultdict(list)
    for job, row in rows:
        found[job].append(row)
    return found


def _check_rows(of: Snapshot) -> None:
    done = [shard for shard in of.shards if shard.state is State.SUCCEEDED or shard.only_failed]
    assert sorted(of.written + of.failed) == [row for shard in done for row in range(shard.start, shard.stop)]
    for shard in of.shards:
        assert not (shard.only_failed and shard.state is State.SUCCEEDED)
        assert not shard.only_failed or _failed_in(of, shard)


def _check_counters(of: Snapshot) -> None:
    states = [shard.state for shard in of.shards]
    assert of.job.shards_total == len(of.shards)
    assert of.job.shards_done == states.count(State.SUCCEEDED)
    assert of.job.shards_failed == states.count(State.FAILED)
    assert of.job.rows_done == len(of.written)
    # Those that wait to run again are neither done nor failed.
    assert of.job.rows_failed == len(of.failed) - sum(_failed_in(of, shard) for shard in of.shards if shard.only_failed)
    for shard in of.shards:
        if shard.state is State.SUCCEEDED:
            assert shard.rows_done == shard.stop - shard.start - _failed_in(of, shard)
    assert of.job.rows_before_retry <= of.job.rows_done + of.job.rows_failed


def _failed_in(of: Snapshot, shard: ShardRecord) -> int:
    return sum(shard.start <= row < shard.stop for row in of.failed)


def _allowed(job: JobRecord) -> float:
    most = float(str(job.spec.get("max_row_errors", 0)))
    return most if most >= 1 else most * (job.rows_total or 0)


def _check_state(job: JobRecord, shards: list[ShardRecord]) -> None:
    states = {shard.state for shard in shards}
    assert job.state.final == states.isdisjoint({State.WAITING, State.QUEUED, State.RUNNING})
    assert (job.state is State.WAITING) == (State.WAITING in states)
    if job.state is State.WAITING:
        assert states == {State.WAITING}
        assert job.depends_on is not None
        assert (job.version, job.digest, job.started_at, job.deadline) == (None, None, None, None)
    elif not job.state.final:
        assert job.version is not None
    assert job.state.final == (job.finished_at is not None)
    if State.RUNNING in states:
        assert job.state is State.RUNNING
    if job.state is State.SUCCEEDED:
        assert states == {State.SUCCEEDED}
        assert job.rows_done + job.rows_failed == job.rows_total
        assert job.rows_failed <= _allowed(job)
        assert len(job.notes) == (job.rows_failed > 0)
    if job.state is State.FAILED and states == {State.SUCCEEDED}:
        assert job.rows_failed > _allowed(job)
    if job.state in (State.FAILED, State.CANCELLED):
        assert job.error
    for shard in shards:
        if shard.state is State.QUEUED:
            assert shard.attempt < shard.attempt_limit
        assert shard.attempt <= shard.attempt_limit
