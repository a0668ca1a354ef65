"""The migrations make the tables that the code expects, once, whoever runs them."""

from __future__ import annotations

import pytest

from longshore.shared.errors import InvalidInput, ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import migrate, newest_revision, pending_changes
from longshore.shared.settings import Settings
from tests.integration.support import new_job, together


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
