"""Every step that producers, workers and the relay can take, in any order, against the real ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from longshore.shared.errors import AttemptLost, InvalidInput
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim, ShardRecord, Ticket
from longshore.shared.vocabulary import State
from tests.integration.ledger import invariants
from tests.integration.support import LEASE, commit, expire, new_job, write_and_break

T = TypeVar("T")
#: Which of the jobs, shards or claims there are; taken modulo their number.
PICK = st.integers(min_value=0, max_value=99)
#: The most jobs in one run: few, so that steps meet.
JOBS = 3


class LedgerMachine(RuleBasedStateMachine):
    """Keeps every claim it was ever given, so that those of long lost attempts are used again and again.

    :param ledger: one without rows.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger
        self.jobs: list[UUID] = []
        self.claims: list[Claim] = []
        self.seen: dict[tuple[UUID, int], ShardRecord] = {}

    @precondition(lambda self: len(self.jobs) < JOBS)
    @rule(
        rows=st.lists(st.integers(1, 3), max_size=3),
        tries=st.integers(1, 4),
        timeout=st.sampled_from([None, 600.0]),
        allowed=st.sampled_from([0, 1, 0.5]),
        batch_key=st.sampled_from([None, "a"]),
    )
    def submit(self, rows: list[int], tries: int, timeout: float | None, allowed: float, batch_key: str | None) -> None:
        """A job of one to three shards, or one whose shards are planned."""
        new = new_job(*rows, max_attempts=tries, timeout=timeout, max_row_errors=allowed, batch_key=batch_key)
        self.jobs += self.ledger.submissions.submit([new])

    @precondition(lambda self: 0 < len(self.jobs) < JOBS)
    @rule(pick=PICK, rows=st.lists(st.integers(1, 2), max_size=2), timeout=st.sampled_from([None, 600.0]))
    def submit_after(self, pick: int, rows: list[int], timeout: float | None) -> None:
        """A link of a chain, after any job."""
        after = self.pick_of(self.jobs, pick)
        self.jobs += self.ledger.submissions.submit([new_job(*rows, version=None, timeout=timeout, depends_on=after)])

    @precondition(lambda self: self.jobs)
    @rule()
    def advance(self) -> None:
        """What the relay does: no link waits for a job that has ended then."""
        self.ledger.chains.advance()
        states = {job: self.ledger.queries.job(job) for job in self.jobs}
        for record in states.values():
            if record.state is State.WAITING:
                assert record.depends_on is not None
                assert not states[record.depends_on].state.final
        assert self.ledger.chains.advance() == 0

    @precondition(lambda self: self.seen)
    @rule(pick=PICK)
    def claim(self, pick: int) -> None:
        """Of any shard, most of them claimed or ended."""
        self.claim_one(*self.pick_of(list(self.seen), pick))

    @precondition(lambda self: self.waiting())
    @rule(pick=PICK)
    def claim_waiting(self, pick: int) -> None:
        self.claim_one(*self.pick_of(self.waiting(), pick))

    @precondition(lambda self: self.seen)
    @rule(pick=PICK)
    def claim_batch(self, pick: int) -> None:
        """As a message does, with those that can run with the shard that it names."""
        name = self.pick_of(list(self.seen), pick)
        found = self.ledger.attempts.claim_many([name], worker="machine", lease=LEASE)
        for claim in found:
            before = self.seen[claim.job_id, claim.shard]
            assert before.state is State.QUEUED
            assert claim.attempt == before.attempt + 1
            if (claim.job_id, claim.shard) != name:
                assert (claim.attempt, claim.batch_key) == (1, "a")
        assert self.seen[name].state is not State.QUEUED or name in [(each.job_id, each.shard) for each in found]
        self.claims += found

    @precondition(lambda self: self.current())
    @rule(pick=PICK)
    def take_over(self, pick: int) -> None:
        """A lease runs out, and another worker gets the shard."""
        old = self.pick_of(self.current(), pick)
        assert expire(self.ledger, old.job_id, old.shard) == 1
        if old.attempt < old.attempt_limit:
            found = self.ledger.attempts.claim(old.job_id, old.shard, worker="machine", lease=LEASE)
            assert found is not None
            assert found.attempt == old.attempt + 1
            self.claims.append(found)

    @precondition(lambda self: self.current())
    @rule(pick=PICK, bad_row=st.booleans())
    def commit_in_time(self, pick: int, bad_row: bool) -> None:
        current = self.pick_of(self.current(), pick)
        if bad_row and current.action != "plan":
            commit(self.ledger, current, {current.stop - 1: "not a number"})
        else:
            invariants.finish(self.ledger, current)

    @precondition(lambda self: self.overtaken())
    @rule(pick=PICK)
    def commit_beside_a_newer_attempt(self, pick: int) -> None:
        old = self.pick_of(self.overtaken(), pick)
        with pytest.raises(AttemptLost):
            invariants.finish(self.ledger, old)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, rows=st.integers(0, 3))
    def renew(self, pick: int, rows: int) -> None:
        old, current = self.take(pick)
        assert self.ledger.attempts.renew(old, lease=LEASE, rows=rows, changed=True) == current

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def write_and_break(self, pick: int) -> None:
        write_and_break(self.ledger, self.take(pick)[0])

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, bad_row=st.booleans())
    def commit(self, pick: int, bad_row: bool) -> None:
        """Of any attempt there ever was, most of them too late."""
        old, current = self.take(pick)
        with contextlib.nullcontext() if current else pytest.raises(AttemptLost):
            if bad_row and old.action != "plan":
                commit(self.ledger, old, {old.start: "not a number"})
            else:
                invariants.finish(self.ledger, old)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, permanent=st.booleans())
    def fail(self, pick: int, permanent: bool) -> None:
        old, current = self.take(pick)
        assert (self.ledger.attempts.fail(old, "broken", permanent=permanent) is not None) == current

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def release(self, pick: int) -> None:
        old, current = self.take(pick)
        assert self.ledger.attempts.release(old) == current

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def lose(self, pick: int) -> None:
        """The lease of whoever runs the shard runs out."""
        old, _ = self.take(pick)
        running = self.seen[old.job_id, old.shard].state is State.RUNNING
        assert expire(self.ledger, old.job_id, old.shard) == running

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        job = self.pick_of(self.jobs, pick)
        ended = self.ledger.queries.job(job).state.final
        assert self.ledger.control.cancel(job) == (not ended)

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK)
    def retry(self, pick: int) -> None:
        job = self.pick_of(self.jobs, pick)
        if self.waits_again(job, self.ledger.control.retry):
            return
        state = self.ledger.queries.job(job).state
        left = [each.index for each in self.ledger.queries.shards(job) if each.state in (State.FAILED, State.CANCELLED)]
        if state in (State.FAILED, State.CANCELLED) and left:
            assert sorted(ticket.shard for ticket in self.ledger.control.retry(job)) == left
        else:
            with pytest.raises(InvalidInput):
                self.ledger.control.retry(job)

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK)
    def retry_rows(self, pick: int) -> None:
        job = self.pick_of(self.jobs, pick)
        if self.waits_again(job, self.ledger.control.retry_failed_rows):
            return
        shards, ended = self.ledger.queries.shards(job), self.ledger.queries.job(job).state.final
        errors = {record.row for record in self.ledger.queries.row_errors(job)}
        left = [each.index for each in shards if each.state is not State.SUCCEEDED or self.rows(each) & errors]
        if ended and left:
            assert sorted(ticket.shard for ticket in self.ledger.control.retry_failed_rows(job)) == left
            for shard in shards:
                if shard.index in left and shard.state is State.SUCCEEDED:
                    self.seen[job, shard.index] = self.ledger.queries.shards(job)[shard.index]
        else:
            with pytest.raises(InvalidInput):
                self.ledger.control.retry_failed_rows(job)

    def waits_again(self, job: UUID, retry: Callable[[UUID], list[Ticket]]) -> bool:
        """Whether a job is a link that was ended before it was ready; then that is what a retry of it does."""
        record = self.ledger.queries.job(job)
        if not record.state.final or record.version is not None or record.depends_on is None:
            return False
        upstream = self.ledger.queries.job(record.depends_on).state
        if upstream in (State.FAILED, State.CANCELLED):
            with pytest.raises(InvalidInput, match="retry that one"):
                retry(job)
        else:
            assert retry(job) == []
            assert self.ledger.queries.job(job).state is State.WAITING
        return True

    @precondition(lambda self: self.jobs)
    @rule()
    def run_out_of_time(self) -> None:
        with self.ledger.database.connection() as conn:
            conn.execute("UPDATE jobs SET deadline = created_at + interval '1 microsecond' WHERE deadline IS NOT NULL")
        self.ledger.maintenance.end_overdue()

    @precondition(lambda self: self.jobs)
    @rule()
    def publish(self) -> None:
        tickets = self.ledger.maintenance.unpublished(grace=0)
        self.ledger.submissions.mark_published([(uuid4(), [ticket]) for ticket in tickets])
        assert self.ledger.maintenance.unpublished(grace=0) == []

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def give_back(self, pick: int) -> None:
        old, _ = self.take(pick)
        self.ledger.attempts.give_back([(old.job_id, old.shard)])

    @invariant()
    def holds(self) -> None:
        """What always does; and no attempt's number falls, and a shard that has succeeded is touched by one step alone,
        which is :meth:`retry_rows`.
        """
        for each in invariants.check(self.ledger):
            for shard in each.shards:
                before = self.seen.get((each.job.id, shard.index))
                if before is not None:
                    assert shard.attempt >= before.attempt
                    assert shard.errors[: len(before.errors)] == before.errors
                    assert before.state is not State.SUCCEEDED or shard == before
                self.seen[each.job.id, shard.index] = shard

    def teardown(self) -> None:
        invariants.bring_to_the_end(self.ledger)
        invariants.check(self.ledger)

    def claim_one(self, job: UUID, index: int) -> None:
        before = self.seen[job, index]
        found = self.ledger.attempts.claim(job, index, worker="machine", lease=LEASE)
        assert (found is not None) == (before.state is State.QUEUED)
        if found is not None:
            assert found.attempt == before.attempt + 1
            self.claims.append(found)

    def waiting(self) -> list[tuple[UUID, int]]:
        """The shards that nobody has."""
        return [name for name, shard in self.seen.items() if shard.state is State.QUEUED]

    def current(self) -> list[Claim]:
        """The claims that hold their shards."""
        return [each for each in self.claims if self.is_current(each)]

    def overtaken(self) -> list[Claim]:
        """The claims whose shards newer attempts run."""
        running = {(each.job_id, each.shard): each.attempt for each in self.current()}
        return [each for each in self.claims if each.attempt < running.get((each.job_id, each.shard), 0)]

    def is_current(self, claim: Claim) -> bool:
        shard = self.seen[claim.job_id, claim.shard]
        return (shard.state, shard.attempt) == (State.RUNNING, claim.attempt)

    def take(self, pick: int) -> tuple[Claim, bool]:
        """Some claim there ever was, and whether it holds its shard."""
        old = self.pick_of(self.claims, pick)
        return old, self.is_current(old)

    @staticmethod
    def rows(shard: ShardRecord) -> set[int]:
        return set(range(shard.start, shard.stop))

    @staticmethod
    def pick_of(values: list[T], pick: int) -> T:
        return values[pick % len(values)]
