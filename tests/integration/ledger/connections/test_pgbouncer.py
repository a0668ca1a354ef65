"""A pooler before Postgres: in session mode everything works, and another mode is refused with the reason."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from longshore.producers.waiting import wait_for
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import migrate
from longshore.shared.settings import Settings
from tests.integration.pgbouncer import pgbouncer
from tests.integration.support import run, submit
from tests.waiting import TIMEOUT_S


def test_session_mode_works(fresh: Settings, port: int) -> None:
    with pgbouncer(fresh.database_url, "session", port) as url:
        migrate(url)
        with Ledger(url) as ledger, ThreadPoolExecutor(1) as background:
            for _ in range(3):
                job = submit(ledger, 1)
                waited = background.submit(wait_for, ledger, job, None, lambda _: None)
                run(ledger, job)
                assert waited.result(TIMEOUT_S).state == "succeeded"
            with ledger.database.own_connection() as conn:
                assert conn.pooled
                assert ledger.maintenance.try_lead(conn)
                assert ledger.queries.relay_silence() is not None


def test_transaction_mode_is_refused_though_others_use_the_pooler(fresh: Settings, port: int) -> None:
    migrate(fresh.database_url)
    with pgbouncer(fresh.database_url, "transaction", port) as url:
        stop = threading.Event()

        def use() -> None:
            with psycopg.connect(url, autocommit=True, prepare_threshold=None) as conn:
                while not stop.is_set():
                    conn.execute("SELECT 1")

        others = [threading.Thread(target=use) for _ in range(3)]
        for other in others:
            other.start()
        try:
            for _ in range(5):
                with Ledger(url) as ledger, pytest.raises(ServiceUnavailable, match="pooler in transaction mode"):
                    ledger.queries.jobs()
        finally:
            stop.set()
            for other in others:
                other.join()
        with Ledger(url) as ledger, pytest.raises(ServiceUnavailable, match="use pool_mode = session, or the address"):
            ledger.queries.jobs()
