"""No order of steps commits a shard twice or leaves a job unfinished: one at a time, and many at once."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from psycopg import OperationalError
from psycopg.errors import AdminShutdown

from longshore.shared.errors import AttemptLost, InvalidInput, ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.shared.settings import Settings
from tests.integration.ledger import invariants
from tests.integration.ledger.machine import LedgerMachine
from tests.integration.support import LEASE, commit, empty_tables, expire, new_job, together, write_and_break

pytestmark = pytest.mark.slow

BOUNDED = settings(
    max_examples=30,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # A failure is shown as it was found: with a real database behind it, making it shorter takes minutes.
    phases=[Phase.generate],
)
#: Steps of each thread of the crowd. How many of them claim anything depends on how the threads take turns,
STEPS = 400
#: so they go on until all together have had this many claims,
ENOUGH_CLAIMS = 150
#: or have taken so many steps that more would bring none.
MOST_STEPS = 10 * STEPS


def test_no_order_of_steps_breaks_the_ledger(ledger: Ledger, services: Settings) -> None:
    class Machine(LedgerMachine):
        """Starts from nothing."""

        def __init__(self) -> None:
            empty_tables(services.database_url)
            super().__init__(ledger)

    run_state_machine_as_test(Machine, settings=BOUNDED)


@pytest.mark.parametrize("seed", [1, 2])
def test_no_crowd_breaks_the_ledger(ledger: Ledger, seed: int) -> None:
    jobs = ledger.submissions.submit([new_job(2, 1, 2), new_job(1, 1)])
    claims: list[Claim] = []  # of all: every one of them uses everybody's
    crowd = [Crowd(ledger, jobs, claims, 10 * seed + number) for number in range(4)]
    before = deadlocks(ledger)
    together(*[member.run for member in crowd])
    # The ledger repeats a transaction that Postgres rolls back, but none should wait in a circle.
    assert deadlocks(ledger) == before
    assert len(claims) >= ENOUGH_CLAIMS
    # As every worker does within a second: a claim that met a retry leaves its job queued until then.
    for claim in claims:
        ledger.attempts.renew(claim, lease=LEASE, rows=0, changed=False)
    invariants.check(ledger)
    invariants.bring_to_the_end(ledger)
    invariants.check(ledger)


def deadlocks(ledger: Ledger) -> int:
    """How many deadlocks there were in the database so far."""
    with ledger.database.connection() as conn:
        row = conn.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


class Crowd:
    """One of several threads that do whatever comes to their mind to the same jobs."""

    def __init__(self, ledger: Ledger, jobs: list[UUID], claims: list[Claim], seed: int) -> None:
        self.ledger = ledger
        self.jobs = jobs
        self.claims = claims
        self.random = random.Random(seed)
        often = [self.claim, self.claim, self.claim, self.commit, self.lose, self.retry]
        self.steps = [*often, *often, self.submit, self.renew, self.write_and_break, self.fail, self.release]
        self.steps += [
            self.claim_batch,
            self.claim_batch,
            self.retry_rows,
            self.retry_rows,
            self.cancel,
            self.submit_after,
            self.advance,
            self.advance,
            self.run_out_of_time,
        ]

    def run(self) -> None:
        for step in range(MOST_STEPS):
            if step >= STEPS and len(self.claims) >= ENOUGH_CLAIMS:
                break
            try:
                self.random.choice(self.steps)()
            except (AttemptLost, InvalidInput):
                pass  # too late, as most of what it does
            except ServiceUnavailable as error:
                # A newer attempt ends the writing of an older one. Anything else, as a deadlock, is a failure.
                if type(error.__cause__) not in (AdminShutdown, OperationalError):
                    raise

    def submit(self) -> None:
        rows = self.random.choice([(), (1, 1), (2, 1, 2)])
        tries, timeout = self.random.randint(1, 5), self.random.choice([None, None, 600.0])
        allowed = self.random.choice([0, 1, 0.5])
        batch_key = self.random.choice([None, "a"])
        new = new_job(*rows, max_attempts=tries, timeout=timeout, max_row_errors=allowed, batch_key=batch_key)
        self.jobs += self.ledger.submissions.submit([new])

    def submit_after(self) -> None:
        if self.random.random() < 0.1:  # a link waits, so that too many of them leave nothing to claim
            self.jobs += self.ledger.submissions.submit([new_job(1, 1, version=None, depends_on=self.job())])

    def advance(self) -> None:
        self.ledger.chains.advance()

    def claim(self) -> None:
        found = self.ledger.attempts.claim(self.job(), self.random.randrange(3), worker="crowd", lease=LEASE)
        if found is not None:
            self.claims.append(found)

    def claim_batch(self) -> None:
        name = (self.job(), self.random.randrange(3))
        self.claims += self.ledger.attempts.claim_many([name], worker="crowd", lease=LEASE)

    def commit(self) -> None:
        for old in self.some_claim():
            if old.action == "plan":
                invariants.finish(self.ledger, old)
            else:
                commit(self.ledger, old, {old.start: "not a number"} if self.random.random() < 0.4 else None)

    def renew(self) -> None:
        for old in self.some_claim():
            self.ledger.attempts.renew(old, lease=LEASE, rows=1, changed=True)

    def write_and_break(self) -> None:
        for old in self.some_claim():
            write_and_break(self.ledger, old)

    def fail(self) -> None:
        for old in self.some_claim():
            self.ledger.attempts.fail(old, "broken", permanent=self.random.random() < 0.3)

    def release(self) -> None:
        for old in self.some_claim():
            self.ledger.attempts.release(old)

    def lose(self) -> None:
        expire(self.ledger, self.job(), self.random.randrange(3))

    def cancel(self) -> None:
        self.ledger.control.cancel(self.job())

    def retry(self) -> None:
        self.ledger.control.retry(self.job())

    def retry_rows(self) -> None:
        self.ledger.control.retry_failed_rows(self.job())

    def run_out_of_time(self) -> None:
        with self.ledger.database.connection() as conn:
            conn.execute("UPDATE jobs SET deadline = created_at + interval '1 microsecond' WHERE deadline IS NOT NULL")
        self.ledger.maintenance.end_overdue()

    def job(self) -> UUID:
        """One of the newest, so that all do it to the same."""
        return self.random.choice(self.jobs[-3:])

    def some_claim(self) -> list[Claim]:
        """One of the newest claims of all threads; none at first."""
        return [self.random.choice(self.claims[-6:])] if self.claims else []
