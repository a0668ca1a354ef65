"""Connections whose other end is gone without a word, and servers that do not answer: every wait has a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

import pytest

from longshore.producers.waiting import wait_all, wait_for
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger import notifications, statements
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.postgres import connection
from longshore.shared.settings import Settings
from tests.integration.support import claim, lines, run, submit
from tests.tcp_proxy import TcpProxy
from tests.waiting import TIMEOUT_S, wait_until


@pytest.fixture(autouse=True)
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of a tenth, so that the tests take seconds."""
    monkeypatch.setattr(notifications, "SILENCE_S", 0.5)
    monkeypatch.setattr(connection, "PROBE_TIMEOUT_S", 0.5)
    monkeypatch.setattr(connection, "PROBE_AFTER_S", 0.5)
    monkeypatch.setattr(connection.LedgerConnection, "answer_timeout_s", 2.0)


def waits(ledger: Ledger) -> bool:
    """Whether another ledger listens, and has opened a second connection after that, to look at its jobs."""
    with ledger.database.connection() as conn:
        found = conn.execute(
            """SELECT FROM pg_stat_activity WHERE application_name = 'longshore waiting' AND state = 'idle'
                   AND datname = current_database()"""
        )
        return found.rowcount >= 2


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_a_wait_hears_of_the_end_though_its_connections_are_half_open(
    proxied: Settings, proxy: TcpProxy, ledger: Ledger, background: ThreadPoolExecutor
) -> None:
    job = submit(ledger, 1)
    with Ledger(proxied.database_url, "longshore waiting") as waiting:
        waited = background.submit(wait_for, waiting, job, None, lambda _: None)
        wait_until(lambda: waits(ledger), "the wait")
        assert proxy.swallow() >= 2
        run(ledger, job)
        assert waited.result(TIMEOUT_S).state.final


def test_a_wait_outlives_a_restart_after_a_long_silence(
    proxied: Settings, proxy: TcpProxy, ledger: Ledger, background: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longshore.producers.waiting.OUTAGE_TIMEOUT_S", 5.0)
    job = submit(ledger, 1)
    with Ledger(proxied.database_url, "longshore waiting") as waiting:
        waited = background.submit(wait_all, waiting, [job], None)
        wait_until(lambda: waits(ledger), "the wait")
        # Longer than an outage may be, and nothing is announced in it.
        time.sleep(6)
        with proxy.refusing():
            time.sleep(1)
        run(ledger, job)
        waited.result(TIMEOUT_S)


def test_a_login_whose_answer_never_comes_is_begun_anew(
    proxied: Settings, proxy: TcpProxy, background: ThreadPoolExecutor
) -> None:
    with Ledger(proxied.database_url) as connecting:
        with proxy.stalled():
            jobs = background.submit(connecting.queries.jobs, limit=0)
            wait_until(lambda: proxy.swallow() > 0, "the login")
        assert jobs.result(TIMEOUT_S) == []


def test_an_idle_connection_that_is_half_open_is_replaced_unseen(proxied_ledger: Ledger, proxy: TcpProxy) -> None:
    job = submit(proxied_ledger, 1)
    assert proxy.swallow() == 1
    time.sleep(0.6)
    assert proxied_ledger.queries.job(job).id == job


def test_a_stalled_server_is_an_error_and_not_a_hang(proxied_ledger: Ledger, proxy: TcpProxy) -> None:
    job = submit(proxied_ledger, 1)
    with proxy.stalled(), pytest.raises(ServiceUnavailable, match=r"no answer in 2 s|did not answer|cannot be reached"):
        proxied_ledger.queries.job(job)
    assert proxied_ledger.queries.job(job).id == job


def test_an_answer_that_is_lost_is_not_waited_for(
    proxied_ledger: Ledger, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection.LedgerConnection, "answer_timeout_s", 2 * TIMEOUT_S)
    monkeypatch.setattr(connection, "PROBE_AFTER_S", 2 * TIMEOUT_S)
    monkeypatch.setattr(connection, "ASK_AFTER_S", 0.2)
    monkeypatch.setattr(connection, "ASK_AGAIN_AFTER_S", 0.2)
    job = submit(proxied_ledger, 1)
    assert proxy.swallow() >= 1
    assert proxied_ledger.queries.job(job).id == job

    def ask_twice() -> None:
        with proxied_ledger.database.transaction() as conn:
            conn.execute("SELECT 1")
            proxy.swallow()
            conn.execute("SELECT 1")

    with pytest.raises(ServiceUnavailable, match="lost"):
        ask_twice()


def test_a_copy_that_is_cut_off_frees_what_its_transaction_has_locked(
    proxied_ledger: Ledger, proxy: TcpProxy, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection.LedgerConnection, "answer_timeout_s", TIMEOUT_S)
    monkeypatch.setattr(connection, "ASK_AFTER_S", 0.2)
    monkeypatch.setattr(connection, "ASK_AGAIN_AFTER_S", 0.2)
    job = submit(ledger, 2)
    current = claim(ledger, job)

    def be_cut_off() -> None:
        with proxied_ledger.database.transaction() as conn:
            conn.execute("SELECT FROM shards FOR UPDATE")
            with conn.cursor().copy(statements.attempts.COPY_RESULTS) as copy:
                proxy.swallow()
                copy.write(lines(current))

    with pytest.raises(ServiceUnavailable, match="lost"):
        be_cut_off()
    # No limit of Postgres ends a COPY that waits for its client.
    monkeypatch.setattr(connection.LedgerConnection, "answer_timeout_s", 3.0)
    assert ledger.control.cancel(job)


def test_an_answer_that_takes_long_is_waited_for(proxied_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.LedgerConnection, "answer_timeout_s", TIMEOUT_S)
    monkeypatch.setattr(connection, "ASK_AFTER_S", 0.1)
    monkeypatch.setattr(connection, "ASK_AGAIN_AFTER_S", 0.1)
    with proxied_ledger.database.connection() as conn:
        assert conn.execute("SELECT 1 FROM pg_sleep(1)").fetchone() == (1,)


def test_what_a_stalled_server_was_sent_is_done_once(
    proxied_ledger: Ledger, proxy: TcpProxy, ledger: Ledger, background: ThreadPoolExecutor
) -> None:
    proxied_ledger.queries.jobs()
    with proxy.stalled():
        submitted: Future[UUID] = background.submit(submit, proxied_ledger, 1)
        time.sleep(3)  # it has given up one connection by now
        assert not submitted.done()
    job = submitted.result(TIMEOUT_S)
    assert [record.id for record in ledger.queries.jobs()] == [job]


def test_the_listener_of_the_relay_notices_that_its_connection_is_gone(proxied_ledger: Ledger, proxy: TcpProxy) -> None:
    def listen() -> None:
        with proxied_ledger.database.own_connection() as conn:
            listener = proxied_ledger.notifications.tickets(conn)
            proxy.swallow()
            while True:
                listener.wait(0.1)

    with pytest.raises(ServiceUnavailable):
        listen()


def test_threads_that_find_all_connections_in_use_are_told(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longshore.shared.ledger.postgres.pool.ANSWER_TIMEOUT_S", 0.5)
    release = threading.Event()
    taken = threading.Semaphore(0)

    def keep() -> None:
        with ledger.database.connection():
            taken.release()
            release.wait(TIMEOUT_S)

    threads = [threading.Thread(target=keep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert taken.acquire(timeout=TIMEOUT_S)
    try:
        with pytest.raises(ServiceUnavailable, match="all 4 connections of this process"):
            ledger.queries.jobs()
    finally:
        release.set()
        for thread in threads:
            thread.join()
    assert ledger.queries.jobs() == []
