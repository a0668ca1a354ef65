"""Whoever listens hears of every change of a job, and of nothing else."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger import notifications, statements
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.notifications import JobWatch
from longshore.shared.ledger.records import NewShard
from longshore.shared.ledger.statements.sessions import TICKETS_CHANNEL
from tests.integration.support import LEASE, claim, commit, expire, new_job, submit, write_and_break
from tests.waiting import TIMEOUT_S, wait_until


def heard(watch: JobWatch) -> set[UUID]:
    """What has been announced, after waiting for the first."""
    return watch.changed(time.monotonic() + TIMEOUT_S)


def silent(ledger: Ledger, watch: JobWatch) -> bool:
    """Announcements come in the order of the commits: nothing was announced before the one that is made now."""
    marker = uuid4()
    with ledger.database.connection() as conn:
        conn.execute(statements.attempts.NOTIFY_JOB, {"job": marker})
    return heard(watch) == {marker}


def test_every_change_of_a_job_is_announced(ledger: Ledger) -> None:
    job = submit(ledger, 2, 2, 2, max_attempts=1, timeout=600)
    with ledger.notifications.jobs() as watch:
        first = claim(ledger, job, 0)
        assert heard(watch) == {job}, "it runs"
        ledger.attempts.renew(first, lease=LEASE, rows=1, changed=True)
        assert heard(watch) == {job}, "progress"
        ledger.attempts.record_metrics(first, 0, {"loss": 1.0})
        assert heard(watch) == {job}, "metrics"
        commit(ledger, first)
        assert heard(watch) == {job}, "a shard is done"
        ledger.attempts.fail(claim(ledger, job, 1), "broken", permanent=False)
        assert heard(watch) == {job}, "a shard is given up"
        ledger.control.cancel(job)
        assert heard(watch) == {job}, "cancelled"
        ledger.control.retry(job)
        assert heard(watch) == {job}, "queued again"
        second = claim(ledger, job, 1)
        assert heard(watch) == {job}, "it runs again"
        ledger.attempts.fail(second, "broken", permanent=True)
        assert heard(watch) == {job}, "failed"
        assert silent(ledger, watch)


def test_the_relay_s_changes_are_announced_too(ledger: Ledger) -> None:
    lost, late = submit(ledger, 1, max_attempts=1), submit(ledger, 1, timeout=0.001)
    with ledger.notifications.jobs() as watch:
        claim(ledger, lost)
        assert heard(watch) == {lost}
        expire(ledger, lost)
        assert heard(watch) == {lost}
        ledger.maintenance.end_overdue()
        assert heard(watch) == {late}


def test_what_arrives_together_is_handled_together(ledger: Ledger) -> None:
    jobs = {submit(ledger, 1) for _ in range(3)}
    with ledger.notifications.jobs() as watch:
        for job in jobs:
            ledger.control.cancel(job)
        found = heard(watch)
        while found != jobs:
            more = heard(watch)
            assert more
            found |= more


def test_nothing_is_announced_of_what_does_not_change(ledger: Ledger) -> None:
    job = submit(ledger, 2)
    current = claim(ledger, job)
    with ledger.notifications.jobs() as watch:
        ledger.attempts.renew(current, lease=LEASE, rows=0, changed=False)
        write_and_break(ledger, current)
        assert silent(ledger, watch)


def test_shards_that_wait_to_be_published_call_the_relay(ledger: Ledger) -> None:
    job = ledger.submissions.submit([new_job(max_attempts=1)])[0]
    with ledger.database.own_connection() as conn:
        conn.execute(f"LISTEN {TICKETS_CHANNEL}")

        def called() -> bool:
            return bool(list(conn.notifies(timeout=TIMEOUT_S, stop_after=1)))

        ledger.attempts.release(claim(ledger, job))
        assert called(), "handed back"
        shard = NewShard(action="infer", start=0, stop=1)
        ledger.attempts.plan(claim(ledger, job), [shard, shard], rows_total=2)
        assert called(), "planned"
        ledger.attempts.give_back([(job, 1)])
        assert called(), "not got to"
    again = submit(ledger, 1, max_attempts=2)
    with ledger.database.own_connection() as conn:
        conn.execute(f"LISTEN {TICKETS_CHANNEL}")
        claim(ledger, again)
        expire(ledger, again)
        assert list(conn.notifies(timeout=TIMEOUT_S, stop_after=1)), "lost"


def test_a_watch_whose_connection_breaks_says_so(ledger: Ledger) -> None:
    def listen_and_break() -> None:
        with ledger.notifications.jobs() as watch:
            with ledger.database.connection() as conn:
                conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
            heard(watch)

    with pytest.raises(ServiceUnavailable):
        listen_and_break()


def listeners(ledger: Ledger) -> int:
    """How many connections to the ledger's database listen."""
    with ledger.database.connection() as conn:
        (count,) = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        ).fetchone() or (0,)
    return int(count)


def test_all_who_wait_share_one_connection(ledger: Ledger) -> None:
    jobs = [submit(ledger, 1) for _ in range(20)]
    before = listeners(ledger)
    ready = threading.Barrier(len(jobs) + 1)

    def wait(job: UUID) -> bool:
        with ledger.notifications.jobs() as watch:
            ready.wait(TIMEOUT_S)
            while job not in heard(watch):
                pass
        return True

    with ThreadPoolExecutor(len(jobs)) as pool:
        waiting = [pool.submit(wait, job) for job in jobs]
        ready.wait(TIMEOUT_S)
        assert listeners(ledger) == before + 1
        for job in jobs:
            ledger.control.cancel(job)
        assert all(each.result(TIMEOUT_S) for each in waiting)


def test_all_who_wait_are_told_of_a_lost_connection(ledger: Ledger) -> None:
    with ledger.notifications.jobs() as first, ledger.notifications.jobs() as second:
        with ledger.database.connection() as conn:
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        for watch in (first, second):
            with pytest.raises(ServiceUnavailable):
                heard(watch)
        job = submit(ledger, 1)
        with ledger.notifications.jobs() as again:
            ledger.control.cancel(job)
            assert heard(again) == {job}


def test_a_closed_ledger_ends_the_waits(ledger: Ledger) -> None:
    with ledger.notifications.jobs() as watch:
        ledger.close()
        with pytest.raises(ServiceUnavailable, match="closed"):
            heard(watch)


def test_the_thread_ends_when_nobody_waits(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "KEEP_S", 0.0)
    monkeypatch.setattr(notifications, "SILENCE_S", 0.1)
    # Threads of the tests before may end meanwhile.
    before = set(threading.enumerate())
    with ledger.notifications.jobs():
        (thread,) = [each for each in set(threading.enumerate()) - before if each.name == "longshore notifications"]
    wait_until(lambda: not thread.is_alive(), "the end of the thread")
    job = submit(ledger, 1)
    with ledger.notifications.jobs() as watch:
        ledger.control.cancel(job)
        assert heard(watch) == {job}


def test_what_names_no_job_is_ignored(ledger: Ledger) -> None:
    job = submit(ledger, 1)
    with ledger.notifications.jobs() as watch:
        with ledger.database.connection() as conn:
            conn.execute("SELECT pg_notify('longshore_jobs', 'no, id')")
        ledger.control.cancel(job)
        assert heard(watch) == {job}
