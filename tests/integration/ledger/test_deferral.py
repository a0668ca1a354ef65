"""Shards that are handed back because of an outage: no attempt counts, and they come back after a pause."""

from __future__ import annotations

import pytest

from longshore.shared.errors import AttemptLost
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.vocabulary import State
from tests.integration.support import claim, commit, submit


def due(ledger: Ledger) -> None:
    """Let the pauses of all shards be over."""
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET not_before = now() WHERE not_before IS NOT NULL")


def missing_for(ledger: Ledger, seconds: float) -> None:
    """Let what is missing have been missing for so long."""
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET missing_since = now() - make_interval(secs => %s)", [seconds])


def test_outages_are_no_attempts(ledger: Ledger) -> None:
    job = submit(ledger, 2, max_attempts=1)
    for outage in range(30):
        assert ledger.attempts.defer(claim(ledger, job), f"outage {outage}") is State.QUEUED
    (shard,) = ledger.queries.shards(job)
    assert (shard.outages, shard.waits_for, shard.errors) == (30, "outage 29", [])
    assert ledger.queries.job(job).waits_for == "outage 29"
    commit(ledger, claim(ledger, job))
    assert ledger.queries.job(job).state is State.SUCCEEDED
    assert ledger.queries.job(job).waits_for is None


def test_a_deferred_shard_is_published_when_it_is_due(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    pauses = []
    for _ in range(12):
        ledger.attempts.defer(claim(ledger, job), "away")
        seconds = ledger.maintenance.seconds_to_next_due()
        pauses.append(seconds or 0.0)
        if seconds is not None:
            # A pause by chance can be over by now.
            with ledger.database.connection() as conn:
                conn.execute("UPDATE shards SET not_before = now() + interval '1 minute'")
            assert ledger.maintenance.unpublished(grace=0) == []
        due(ledger)
        assert [ticket.job_id for ticket in ledger.maintenance.unpublished(grace=0)] == [job]
    assert max(pauses[:2]) <= 2
    assert 2 < max(pauses) <= 60
    assert len(set(pauses)) > 6


def test_what_is_missing_for_good_ends_the_job(ledger: Ledger) -> None:
    job = submit(ledger, 2, 2)
    assert ledger.attempts.defer(claim(ledger, job), "no file", missing=True) is State.QUEUED
    missing_for(ledger, 4)
    assert ledger.attempts.defer(claim(ledger, job), "no file", missing=True) is State.QUEUED
    missing_for(ledger, 6)
    assert ledger.attempts.defer(claim(ledger, job), "no file", missing=True) is State.FAILED
    record = ledger.queries.job(job)
    assert (record.state, record.error) == (State.FAILED, "no file")


def test_what_is_away_in_between_is_not_missing(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    ledger.attempts.defer(claim(ledger, job), "no file", missing=True)
    missing_for(ledger, 600)
    ledger.attempts.defer(claim(ledger, job), "the server is away")
    assert ledger.attempts.defer(claim(ledger, job), "no file", missing=True) is State.QUEUED


def test_a_retry_looks_anew(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    ledger.attempts.defer(claim(ledger, job), "no file", missing=True)
    missing_for(ledger, 600)
    ledger.attempts.defer(claim(ledger, job), "no file", missing=True)
    ledger.control.retry(job)
    assert ledger.attempts.defer(claim(ledger, job), "no file", missing=True) is State.QUEUED


def test_a_lost_attempt_defers_nothing(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    lost = claim(ledger, job)
    ledger.attempts.release(lost)
    current = claim(ledger, job)
    assert ledger.attempts.defer(lost, "away") is None
    assert ledger.attempts.defer(lost, "no file", missing=True) is None
    with pytest.raises(AttemptLost):
        commit(ledger, lost)
    commit(ledger, current)


def test_failed_attempts_back_off_from_the_second_on(ledger: Ledger) -> None:
    job = submit(ledger, 2, max_attempts=20)
    ledger.attempts.fail(claim(ledger, job), "x", permanent=False)
    assert len(ledger.maintenance.unpublished(grace=0)) == 1
    for _ in range(10):
        ledger.attempts.fail(claim(ledger, job), "x", permanent=False)
    assert 0 < (ledger.maintenance.seconds_to_next_due() or 0) <= 60
    assert ledger.maintenance.unpublished(grace=0) == []
