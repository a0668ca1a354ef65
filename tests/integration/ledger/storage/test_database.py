"""Connections: shared by threads, reopened, and their loss in our words."""

from __future__ import annotations

import pytest

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings
from tests.integration.support import together


def test_threads_that_start_together_share_one_pool(services: Settings) -> None:
    with Ledger(services.database_url, "longshore sharing") as ledger:
        together(*[lambda: ledger.queries.jobs()] * 8)
        with ledger.database.connection() as conn:
            count = conn.execute(
                """SELECT count(*) FROM pg_stat_activity
                   WHERE application_name = 'longshore sharing' AND datname = current_database()"""
            )
            found = count.fetchone()
    assert found is not None
    assert 1 <= found[0] <= 4


def test_a_closed_ledger_can_be_used_again(services: Settings) -> None:
    ledger = Ledger(services.database_url)
    assert ledger.queries.jobs(limit=0) == []
    ledger.close()
    ledger.close()
    assert ledger.queries.jobs(limit=0) == []
    ledger.close()


def test_a_connection_that_postgres_ends_is_an_outage_and_the_next_one_works(ledger: Ledger) -> None:
    with pytest.raises(ServiceUnavailable, match="terminating connection"), ledger.database.connection() as conn:
        conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert ledger.queries.jobs() == []


def test_an_idle_connection_that_postgres_ended_is_replaced_unseen(ledger: Ledger) -> None:
    ledger.queries.jobs()
    with ledger.database.own_connection() as conn:
        ended = conn.execute(
            """SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""
        ).fetchone()
    assert ended is not None
    assert ended[0] > 0
    assert ledger.queries.jobs() == []
