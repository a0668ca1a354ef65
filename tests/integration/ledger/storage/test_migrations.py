"""The migrations make the tables that the code expects, once, whoever runs them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import psycopg
import pytest
from psycopg import sql

from longshore.shared.errors import InvalidInput, ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import migrate, pending_changes
from longshore.shared.ledger.schema_revision import newest_revision
from longshore.shared.settings import Settings
from tests.integration.support import is_held_up, new_job, together
from tests.waiting import TIMEOUT_S, wait_until

#: The newest migration beside which nobody of the release before can work.
LAST_RENAME = "0009"


def test_migrating_makes_the_tables_and_again_changes_nothing(fresh: Settings) -> None:
    assert pending_changes(fresh.database_url) != []

    assert migrate(fresh.database_url) == newest_revision()
    assert pending_changes(fresh.database_url) == []

    with Ledger(fresh.database_url) as ledger:
        job = ledger.submissions.submit([new_job(2)])[0]
        assert migrate(fresh.database_url) == newest_revision()
        assert ledger.queries.job(job).id == job


def test_two_migrations_at_once_take_turns(fresh: Settings) -> None:
    newest = newest_revision()
    assert together(*[lambda: migrate(fresh.database_url)] * 3) == [newest] * 3
    assert pending_changes(fresh.database_url) == []


def test_a_database_without_tables_says_what_to_do(fresh: Settings) -> None:
    with Ledger(fresh.database_url) as ledger, pytest.raises(ServiceUnavailable, match="longshore migrate"):
        ledger.queries.jobs()


def test_an_unreachable_postgres_is_named_without_its_password() -> None:
    url = "postgresql://longshore:hunter2@127.0.0.1:1/longshore"
    with Ledger(url) as ledger, pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1") as caught:
        ledger.queries.jobs()
    assert "hunter2" not in f"{caught.value!r}{caught.value.__cause__!r}"
    with pytest.raises(ServiceUnavailable) as caught:
        migrate(url)
    assert "hunter2" not in repr(caught.value)


def test_a_refused_login_says_so_without_its_password(services: Settings) -> None:
    with Ledger(services.database_url.replace("://longshore:", "://nobody:hunter2")) as ledger:
        with pytest.raises(ServiceUnavailable, match="authentication failed") as caught:
            ledger.queries.jobs()
        assert "hunter2" not in str(caught.value)


def test_a_url_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidInput, match="database_url") as caught:
        Ledger("postgres//longshore:hunter2@somewhere")
    assert "hunter2" not in str(caught.value)


def steps() -> list[tuple[str, str]]:
    """The migrations that run beside the workers of the release before: each with the revision that it starts from."""
    revisions = [f"{number:04}" for number in range(int(LAST_RENAME), int(newest_revision()) + 1)]
    return list(pairwise(revisions))


@pytest.mark.parametrize(("before", "revision"), steps())
def test_a_migration_that_waits_for_a_frozen_worker_keeps_no_other_waiting(
    fresh: Settings, before: str, revision: str
) -> None:
    migrate(fresh.database_url, before)
    tables = sql.SQL(", ").join(sql.Identifier(name) for name in ("jobs", "shards", "workers", "results", "inputs"))
    write = sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(tables)
    with (
        psycopg.connect(fresh.database_url) as frozen,
        psycopg.connect(fresh.database_url) as other,
        Ledger(fresh.database_url) as ledger,
        ThreadPoolExecutor(1) as pool,
    ):
        frozen.execute(write)
        migration = pool.submit(migrate, fresh.database_url, revision)
        try:
            wait_until(lambda: migration.done() or is_held_up(ledger), "a wait for a lock, or the end")
            # Longer than the migration waits at a time.
            other.execute("SET LOCAL lock_timeout = '10s'")
            other.execute(write)
            other.commit()
        finally:
            frozen.rollback()
        assert migration.result(TIMEOUT_S) == revision
