"""Links of chains in the ledger: ready with their job before, ended with it, and waiting again with its retry."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.shards.batching import Finished
from longshore.shared.vocabulary import State
from tests.integration.ledger import invariants
from tests.integration.support import claim, commit, lines, new_job, run, submit, together


def link(ledger: Ledger, after: UUID, timeout: float | None = None, **options: str) -> UUID:
    new = new_job(1, version=None, depends_on=after, timeout=timeout, **options)  # type: ignore[arg-type]
    return ledger.submissions.submit([new])[0]


def states(ledger: Ledger, *jobs: UUID) -> list[State]:
    return [ledger.queries.job(job).state for job in jobs]


def test_a_link_runs_when_the_job_before_has_succeeded(ledger: Ledger) -> None:
    first = submit(ledger, 1, 1)
    second = link(ledger, first, timeout=60)
    third = link(ledger, second)
    run(ledger, first, 0)
    assert ledger.chains.advance() == 0
    assert ledger.attempts.claim(second, 0, worker="w", lease=60) is None
    assert [ticket.job_id for ticket in ledger.maintenance.unpublished(grace=0)] == [first]
    run(ledger, first, 1)
    assert ledger.chains.advance() == 1
    assert states(ledger, first, second, third) == [State.SUCCEEDED, State.QUEUED, State.WAITING]
    assert [ticket.job_id for ticket in ledger.maintenance.unpublished(grace=0)] == [second]
    found = ledger.queries.job(second)
    assert (found.version, found.digest) == (1, f"sha256:{1:064x}")
    # The time that it waited does not count.
    with ledger.database.connection() as connection:
        row = connection.execute("SELECT ready_at FROM job_dependencies WHERE job_id = %s", [second]).fetchone()
    assert row is not None
    assert found.deadline == row[0] + timedelta(seconds=60)
    run(ledger, second)
    assert ledger.chains.advance() == 1
    run(ledger, third)
    assert states(ledger, second, third) == [State.SUCCEEDED] * 2
    for job in (first, second, third):
        assert ledger.chains.of(job) == [first, second, third]
    invariants.check(ledger)


def test_the_relay_hears_of_each_end_that_another_job_waits_for(ledger: Ledger) -> None:
    first, other = submit(ledger, 1, 1), submit(ledger, 1)
    with ledger.database.own_connection() as conn:
        listener = ledger.notifications.tickets(conn)

        def hears() -> bool:
            # What was committed before a statement ends has been announced by then.
            listener.check()
            return bool(listener.wait(0))

        second = link(ledger, first)
        assert hears()
        run(ledger, first, 0)
        run(ledger, other)
        assert not hears()
        run(ledger, first, 1)
        assert hears()
        assert ledger.chains.advance() == 1
        # However new the job is: its producer publishes nothing.
        assert [ticket.job_id for ticket in ledger.maintenance.unpublished(grace=3600)] == [second]
        third = link(ledger, second)
        assert hears()
        # As one of a batch of small jobs.
        held = claim(ledger, second)
        assert ledger.attempts.commit_batch([Finished(held, 1)], lines(held)) == set()
        assert hears()
        assert ledger.chains.advance() == 1
        fourth = link(ledger, third)
        assert hears()
        ledger.control.cancel(third)
        assert hears()
        assert ledger.chains.advance() == 1
        assert states(ledger, third, fourth) == [State.CANCELLED] * 2


def test_the_version_of_a_training_is_what_it_made(ledger: Ledger) -> None:
    first = ledger.submissions.submit([new_job(1, kind="train", version=None)])[0]
    second = link(ledger, first)
    held = claim(ledger, first)
    with ledger.attempts.writing(held) as writer:
        writer.fence(1)
        writer.finish({"version": 7, "digest": "sha256:7"})
    ledger.chains.advance()
    found = ledger.queries.job(second)
    assert (found.version, found.digest) == (7, "sha256:7")


def test_a_failed_job_ends_the_chain_with_its_reason_and_its_retry_revives_it(ledger: Ledger) -> None:
    first = submit(ledger, 1)
    second, third = (link(ledger, first), None)
    third = link(ledger, second)
    ledger.attempts.fail(claim(ledger, first), "it is broken", permanent=True)
    assert ledger.chains.advance() == 2
    reason = f"job {first} failed: it is broken"
    assert [ledger.queries.job(job).error for job in (second, third)] == [reason] * 2
    assert states(ledger, second, third) == [State.FAILED] * 2
    for later, before in ((second, first), (third, second)):
        with pytest.raises(InvalidInput, match=f"comes after {before}, which is failed; retry that one"):
            ledger.control.retry(later)
    ledger.control.retry(first)
    assert states(ledger, first, second, third) == [State.QUEUED, State.WAITING, State.WAITING]
    assert ledger.queries.job(third).error is None
    invariants.check(ledger)
    for job in (first, second, third):
        run(ledger, job)
        ledger.chains.advance()
    assert states(ledger, first, second, third) == [State.SUCCEEDED] * 3


def test_a_cancelled_link_ends_those_after_it_and_waits_again(ledger: Ledger) -> None:
    first = submit(ledger, 1)
    second = link(ledger, first)
    third = link(ledger, second)
    assert ledger.control.cancel(second)
    ledger.chains.advance()
    assert states(ledger, first, second, third) == [State.QUEUED, State.CANCELLED, State.CANCELLED]
    assert ledger.queries.job(third).error == f"job {second} cancelled"
    assert ledger.control.retry(second) == []
    assert states(ledger, second, third) == [State.WAITING] * 2
    run(ledger, first)
    ledger.chains.advance()
    held = claim(ledger, second)
    ledger.attempts.fail(held, "late", permanent=True)
    ledger.chains.advance()
    assert ledger.queries.job(third).error == f"job {second} failed: late"
    # It was ready once, so its own retry queues it.
    assert [ticket.job_id for ticket in ledger.control.retry(second)] == [second]
    assert states(ledger, third) == [State.WAITING]
    commit(ledger, claim(ledger, second))
    ledger.chains.advance()
    run(ledger, third)
    invariants.check(ledger)


def test_several_links_can_come_after_a_job_that_has_ended(ledger: Ledger) -> None:
    first = submit(ledger, 1)
    run(ledger, first)
    links = [link(ledger, first) for _ in range(3)]
    assert sum(together(*[ledger.chains.advance for _ in range(4)])) == 3
    assert states(ledger, *links) == [State.QUEUED] * 3
    assert ledger.chains.of(links[1]) == [first, *links]


def test_a_key_makes_one_link(ledger: Ledger) -> None:
    first = submit(ledger, 1)
    made = [link(ledger, first, key="k", request="same") for _ in range(2)]
    assert made[0] == made[1]
    assert ledger.chains.of(first) == [first, made[0]]
