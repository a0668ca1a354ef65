"""Simulated workers: they take messages, claim, renew, commit, fail and release as `longshore.workers.execution` does,
through the real ledger. Only the computing is simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, cast
from uuid import UUID

import pyarrow as pa
from pydantic import JsonValue

from longshore.broker.coalescing_key import CoalescingKey
from longshore.broker.publishing import publish
from longshore.broker.tickets import Message
from longshore.shared.errors import AttemptLost, ServiceUnavailable
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim, NewShard, Ticket
from longshore.shared.ledger.shards.batching import Finished, is_full
from longshore.shared.ledger.shards.copy_rows import result_lines
from tests.simulation.broker import Delivery, SimulatedApp, SimulatedCoalescer, SimulatedRedis
from tests.simulation.faults import LEASE_S
from tests.simulation.scheduler import Scheduler

#: Virtual seconds between two renewals of a lease.
RENEWAL_S: Final = 1.0
#: Virtual seconds between two looks into the queues.
IDLE_S: Final = 0.3
#: What a planning shard adds.
_PLANNED: Final = (NewShard(action="infer", start=0, stop=2), NewShard(action="infer", start=2, stop=3))


class HandBack(Exception):
    """The worker is stopping."""


class ShardError(Exception):
    """The simulated computing fails.

    :param permanent: another attempt fails as well.
    """

    def __init__(self, text: str, *, permanent: bool) -> None:
        super().__init__(text)
        self.permanent = permanent


@dataclass
class Store:
    """Output files by name: the attempt that has written each, hidden or published."""

    hidden: dict[str, str] = field(default_factory=dict)
    published: dict[tuple[UUID, int], str] = field(default_factory=dict)


class Worker:
    """One worker process.

    :param random: decides how long shards take and when the worker has to stop.
    """

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        redis: SimulatedRedis,
        app: SimulatedApp,
        store: Store,
        scheduler: Scheduler,
        random: Random,
        log: Callable[[str, str], None],
    ) -> None:
        self._name = name
        self._ledger = ledger
        self._redis = redis
        self._app = app
        self._coalescer = SimulatedCoalescer(app, redis)
        self._store = store
        self._scheduler = scheduler
        self._random = random
        self._log = log
        self._queues = ("cpu",) if name.startswith("cpu") else ("gpu", "cpu")
        self._draining = False
        #: The message that it has not acknowledged.
        self._unacknowledged: Delivery | None = None

    def run(self) -> None:
        """Take messages for ever. A message that it held when it was killed may come back."""
        if self._unacknowledged is not None and self._random.random() < 0.5:
            self._redis.queue.append(self._unacknowledged)
        self._unacknowledged = None
        self._draining = False
        while True:
            delivery = self._redis.take(self._queues)
            if delivery is None:
                self._scheduler.pause(IDLE_S)
                continue
            self._unacknowledged = delivery
            fault_point("worker:taken")
            try:
                self._run_message(delivery)
            except ServiceUnavailable as error:
                self._log(self._name, f"drops a message: {error}")
            self._unacknowledged = None
            if self._draining:
                self._log(self._name, "has drained, and starts again")
                self._draining = False
                self._scheduler.pause(1.0)

    def _run_message(self, delivery: Delivery) -> None:
        if delivery.key is not None:
            try:
                self._coalescer.release(delivery.key)
            except ServiceUnavailable:
                self._log(self._name, "could not delete a key")
            fault_point("worker:key_released")
        if self._random.random() < 0.02:
            self._draining = True
            self._ledger.attempts.give_back(delivery.names)
            return
        claims = self._ledger.attempts.claim_many(delivery.names, worker=self._name, lease=LEASE_S)
        for claim in claims:
            self._log(self._name, f"claims {_short(claim)}")
        fault_point("worker:claimed")
        if delivery.key is not None:
            self._publish_rest(delivery.key, delivery.names[0], claims)
        together = [claim for claim in claims if claim.batch_key and claim.attempt == 1 and not claim.only_failed]
        if len(together) > 1:
            self._run_together(together)
        else:
            together = []
        for claim in claims:
            if claim not in together:
                self._run_claim(claim)

    def _publish_rest(self, key: CoalescingKey, name: tuple[UUID, int], claims: Sequence[Claim]) -> None:
        tried = any(claim.attempt > 1 for claim in claims)
        if not claims or not (tried or is_full(len(claims), sum(claim.stop - claim.start for claim in claims))):
            return
        first = claims[0]
        ticket = Ticket(
            *(*name, first.action, key.queue, key.priority, first.start, first.stop, first.model, first.version),
            batch_key=key.batch_key,
        )
        try:
            self._coalescer.publish(Message((ticket,)))
        except ServiceUnavailable:
            self._log(self._name, "leaves the rest to the relay")

    def _run_together(self, claims: Sequence[Claim]) -> None:
        try:
            self._compute(claims)
            for claim in claims:
                self._fail_if_planned(claim)
        except HandBack:
            self._release(claims)
            return
        except AttemptLost:
            return
        except ShardError:
            for claim in claims:
                if self._renew(claim):
                    self._run_claim(claim)
            return
        left = {(claim.job_id, claim.shard): claim for claim in claims}
        try:
            while left:
                finished = [
                    Finished(claim, len(self._rows(claim)) - len(errors), errors)
                    for claim in left.values()
                    for errors in [self._errors(claim, self._rows(claim))]
                ]
                lines = [bytes(_lines(each.claim, self._good(each.claim))) for each in finished]
                lost = self._ledger.attempts.commit_batch(finished, memoryview(b"".join(lines)))
                if not lost:
                    self._log(self._name, f"commits a batch of {len(left)}")
                    return
                for name in lost:
                    del left[name]
        except ServiceUnavailable as error:
            self._log(self._name, f"could not commit a batch: {error}")
            self._release(claims)

    def _run_claim(self, claim: Claim) -> None:
        """Run one attempt, then the shards that were claimed ahead meanwhile."""
        ahead = self._run_one(claim)
        while ahead is not None:
            ahead = self._run_one(ahead)

    def _run_one(self, claim: Claim) -> Claim | None:
        """Returns the next shard to run, claimed already."""
        ahead = None
        done = False
        try:
            rows = self._rows(claim)
            self._compute([claim])
            ahead = self._claim_ahead(claim)
            self._fail_if_planned(claim)
            self._commit(claim, rows)
            done = True
            self._log(self._name, f"commits {_short(claim)}")
        except AttemptLost:
            self._log(self._name, f"has lost {_short(claim)}")
        except HandBack:
            self._release([claim])
        except ShardError as error:
            self._fail(claim, str(error), permanent=error.permanent)
        except ServiceUnavailable as error:
            self._fail(claim, str(error), permanent=False)
        if ahead is not None and not done:
            self._release([ahead])
            return None
        return ahead

    def _compute(self, claims: Sequence[Claim]) -> None:
        """Let the time pass that the shards take, and renew their leases.

        :raises AttemptLost: no attempt is current any more, or the lease has run out.
        :raises HandBack: the worker has to stop.
        """
        left = self._random.choice([0.0, 0.1, 0.5, 1.5, 3.0])
        valid_until = self._scheduler.now + LEASE_S
        current = list(claims)
        while left > 0:
            self._scheduler.pause(min(left, RENEWAL_S))
            left -= RENEWAL_S
            if self._random.random() < 0.02:
                self._draining = True
                raise HandBack
            sent = self._scheduler.now
            try:
                current = [claim for claim in current if self._renew(claim)]
            except ServiceUnavailable:
                continue
            if not current:
                raise AttemptLost("every attempt is lost")
            valid_until = sent + LEASE_S
        fault_point("worker:computed")
        if self._scheduler.now > valid_until:
            raise AttemptLost("the lease ran out")

    def _renew(self, claim: Claim) -> bool:
        return self._ledger.attempts.renew(claim, lease=LEASE_S, rows=0, changed=False)

    def _claim_ahead(self, claim: Claim) -> Claim | None:
        if claim.batch_key is not None or claim.only_failed or claim.action != "infer" or self._random.random() < 0.4:
            return None
        try:
            ahead = self._ledger.attempts.claim_next(claim, worker=self._name, lease=LEASE_S)
        except ServiceUnavailable:
            return None
        if ahead is not None:
            self._log(self._name, f"claims ahead {_short(ahead)}")
        return ahead

    def _commit(self, claim: Claim, rows: Sequence[int]) -> None:
        if claim.action == "plan":
            self._ledger.attempts.plan(claim, _PLANNED, rows_total=3)
            fault_point("worker:planned")
            tickets = [
                Ticket(
                    *(claim.job_id, claim.shard + 1 + number, shard.action, claim.queue, claim.priority),
                    *(shard.start, shard.stop, claim.model, claim.version),
                )
                for number, shard in enumerate(_PLANNED)
            ]
            try:
                publish(self._app, self._ledger, tickets)
            except ServiceUnavailable:
                self._log(self._name, "leaves planned shards to the relay")
        elif "output" in claim.spec:
            self._commit_file(claim, rows)
        else:
            errors = self._errors(claim, rows)
            good = [row for row in rows if row not in errors]
            with self._ledger.attempts.writing(claim) as writer:
                if claim.action == "infer" and good:
                    writer.results(_lines(claim, good))
                fault_point("ledger:written")
                writer.fence(len(good))
                writer.row_errors(errors)
                outcome: dict[str, JsonValue] | None = None
                if claim.action == "train":
                    outcome = {"version": 2, "digest": "sha256:" + "1" * 64}
                writer.finish(outcome)

    def _commit_file(self, claim: Claim, rows: Sequence[int]) -> None:
        """As `longshore.workers.inference.file_job`: write, decide, publish, count."""
        name = claim.output_file
        if name is None:
            errors = self._errors(claim, rows)
            name = claim.token if len(errors) < len(rows) else ""
            if name:
                self._store.hidden[name] = claim.token
            fault_point("worker:file_written")
            with self._ledger.attempts.writing(claim) as writer:
                writer.decide(name)
                writer.row_errors(errors)
        fault_point("worker:file_decided")
        if name:
            self._store.published[claim.job_id, claim.shard] = self._store.hidden[name]
        fault_point("worker:file_published")
        self._ledger.attempts.finish_output_file(claim)

    def _rows(self, claim: Claim) -> list[int]:
        if claim.only_failed:
            return self._ledger.attempts.failed_rows(claim)
        return list(range(claim.start, claim.stop))

    def _errors(self, claim: Claim, rows: Sequence[int]) -> dict[int, str]:
        bad = cast("list[int]", _simulated(claim)["bad_rows"])
        return {
            row: f"bad at attempt {claim.attempt}"
            for row in rows
            if row in bad and (not claim.only_failed or row % 2 == 0)
        }

    def _good(self, claim: Claim) -> list[int]:
        rows = self._rows(claim)
        errors = self._errors(claim, rows)
        return [row for row in rows if row not in errors]

    def _fail_if_planned(self, claim: Claim) -> None:
        simulated = _simulated(claim)
        failing = cast("dict[str, int]", simulated["failing"])
        if simulated["permanent"] == claim.shard:
            raise ShardError("wrong for good", permanent=True)
        if claim.attempt <= failing.get(str(claim.shard), 0):
            raise ShardError(f"wrong at attempt {claim.attempt}", permanent=False)

    def _fail(self, claim: Claim, error: str, *, permanent: bool) -> None:
        try:
            state = self._ledger.attempts.fail(claim, error, permanent=permanent)
            self._log(self._name, f"fails {_short(claim)}: {error[:60]} ({state})")
        except ServiceUnavailable:
            self._log(self._name, f"leaves {_short(claim)} to its lease")

    def _release(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            try:
                released = self._ledger.attempts.release(claim)
                self._log(self._name, f"releases {_short(claim)}: {released}")
            except ServiceUnavailable:
                self._log(self._name, f"leaves {_short(claim)} to its lease")


def _simulated(claim: Claim) -> dict[str, object]:
    return cast("dict[str, object]", claim.spec["simulated"])


def _lines(claim: Claim, rows: Sequence[int]) -> memoryview:
    """A result for each row, which says which attempt has made it."""
    outputs = [f'{{"row": {row}, "attempt": {claim.attempt}}}' for row in rows]
    return result_lines(claim.job_id, pa.array(rows, pa.int64()), pa.array(outputs, pa.string()))


def _short(claim: Claim) -> str:
    return f"{str(claim.job_id)[-6:]}/{claim.shard}/{claim.attempt}"
