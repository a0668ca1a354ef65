"""Making the roles as an administrator who is no superuser, from printed SQL, and in a database that is in use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from longshore.shared.errors import InvalidInput, ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import downgrade, migrate, pending_changes
from longshore.shared.ledger.roles.install import Login, find_roles, install_roles
from longshore.shared.ledger.roles.rights import Role
from longshore.shared.ledger.roles.script import render
from longshore.shared.settings import Settings
from tests.integration.logins import PASSWORD, login_url
from tests.integration.support import empty_database, new_job, rows_of, run, submit, wait_for_lock
from tests.waiting import TIMEOUT_S


@pytest.fixture
def prefix(services: Settings) -> Iterator[str]:
    """A prefix of its own, whose roles are gone afterwards."""
    prefix = f"p{uuid4().hex[:12]}"
    yield prefix
    with psycopg.connect(services.database_url, autocommit=True) as conn:
        names = conn.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", [prefix]).fetchall()
        for (name,) in names:
            conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))


@pytest.fixture
def owned(services: Settings, prefix: str) -> Iterator[Settings]:
    """A database that belongs to a user with CREATEROLE, who is no superuser and has migrated it."""
    administrator = f"{prefix}_administrator"
    with empty_database(services) as settings:
        name = urlsplit(settings.database_url).path.removeprefix("/")
        with psycopg.connect(services.database_url, autocommit=True) as conn:
            names = {"user": sql.Identifier(administrator), "database": sql.Identifier(name)}
            conn.execute(
                sql.SQL("CREATE ROLE {user} LOGIN CREATEROLE PASSWORD {password}").format(
                    **names, password=sql.Literal(PASSWORD)
                )
            )
            conn.execute(sql.SQL("ALTER DATABASE {database} OWNER TO {user}").format(**names))
        settings = replace(settings, database_url=login_url(settings.database_url, administrator))
        migrate(settings.database_url)
        yield settings


def test_a_user_with_createrole_makes_them_and_migrates_on(owned: Settings, prefix: str) -> None:
    login = Login(f"{prefix}_app", PASSWORD, (Role.PRODUCER,))
    for _ in range(2):
        install_roles(owned.database_url, prefix=prefix, logins=[login], revoke_public=True)
    with Ledger(owned.database_url) as ledger, ledger.database.connection() as conn:
        installed = find_roles(conn)
        assert installed is not None
        assert (installed.prefix, installed.row_security) == (prefix, False)
    with Ledger(login_url(owned.database_url, login.name)) as producer:
        job = producer.submissions.submit([new_job(1, 1)])[0]
        assert producer.queries.job(job).shards_total == 2

    downgrade(owned.database_url, "0008")
    migrate(owned.database_url)
    assert pending_changes(owned.database_url) == []
    with Ledger(login_url(owned.database_url, login.name)) as producer:
        assert producer.queries.job(job).shards_total == 2


def test_the_owner_login_migrates_without_createrole(owned: Settings, prefix: str) -> None:
    migrator = Login(f"{prefix}_migrator", PASSWORD, (Role.OWNER,))
    install_roles(owned.database_url, prefix=prefix, logins=[migrator])
    url = login_url(owned.database_url, migrator.name)
    downgrade(url, "0008")
    migrate(url)
    with psycopg.connect(url) as conn:
        owners = conn.execute(
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        ).fetchall()
    assert {name for (name,) in owners} == {f"{prefix}_owner", f"{prefix}_results"}


def test_the_printed_sql_is_what_an_administrator_runs(owned: Settings, prefix: str, services: Settings) -> None:
    command = [sys.executable, "-m", "longshore.producers.cli.main", "migrate", "--roles", "--print"]
    command += ["--role-prefix", prefix, "--row-security"]
    printed = subprocess.run(command, env={"LONGSHORE_HOME": "/nowhere"}, capture_output=True, text=True, check=True)
    assert printed.stdout == render(prefix, row_security=True)
    administrator = urlsplit(services.database_url)._replace(path=urlsplit(owned.database_url).path).geturl()
    for _ in range(2):
        with psycopg.connect(administrator, autocommit=True) as conn:
            conn.execute(printed.stdout)
    with psycopg.connect(administrator) as conn:
        installed = find_roles(conn)
        assert installed is not None
        assert (installed.prefix, installed.row_security) == (prefix, True)


def test_who_may_not_make_them_is_told_what_to_do(owned: Settings, prefix: str, services: Settings) -> None:
    install_roles(owned.database_url, prefix=prefix, logins=[Login(f"{prefix}_app", PASSWORD, (Role.PRODUCER,))])
    other = f"{prefix}x"
    with pytest.raises(ServiceUnavailable, match=r"user with CREATEROLE .* `longshore migrate --roles --print`"):
        install_roles(login_url(owned.database_url, f"{prefix}_app"), prefix=other)


def test_a_worker_made_before_row_security_goes_on_writing(services: Settings, prefix: str) -> None:
    worker = Login(f"{prefix}_work", PASSWORD, (Role.WORKER,))
    with empty_database(services) as settings:
        migrate(settings.database_url)
        install_roles(settings.database_url, prefix=prefix, logins=[worker])
        install_roles(settings.database_url, prefix=prefix, row_security=True)
        with Ledger(settings.database_url) as producer, Ledger(login_url(settings.database_url, worker.name)) as ledger:
            job = producer.submissions.submit([new_job(2)])[0]
            run(ledger, job)
            assert rows_of(producer, job) == [0, 1]


def test_roles_are_made_beside_a_frozen_worker_without_stopping_the_others(services: Settings, prefix: str) -> None:
    with (
        empty_database(services) as settings,
        Ledger(settings.database_url) as ledger,
        psycopg.connect(settings.database_url) as frozen,
        ThreadPoolExecutor(1) as pool,
    ):
        migrate(settings.database_url)
        job = submit(ledger, 1)
        frozen.execute("LOCK TABLE shards IN ROW EXCLUSIVE MODE")
        made = pool.submit(install_roles, settings.database_url, prefix=prefix, row_security=True)
        try:
            wait_for_lock(ledger)
            with psycopg.connect(settings.database_url) as conn:
                # Longer than the change waits at a time.
                conn.execute("SET LOCAL lock_timeout = '10s'")
                conn.execute("UPDATE shards SET rows_done = 0 WHERE job_id = %s", [job])
        finally:
            frozen.rollback()
        made.result(TIMEOUT_S)
        with ledger.database.connection() as conn:
            installed = find_roles(conn)
        assert installed is not None
        assert installed.row_security


@pytest.mark.parametrize("name", ["", "Upper", "a b", 'x"; DROP TABLE jobs', "1st", "a" * 41])
def test_a_name_that_needs_quotes_is_refused(services: Settings, name: str) -> None:
    with pytest.raises(InvalidInput, match="lower-case letters"):
        install_roles(services.database_url, prefix=name)
    with pytest.raises(InvalidInput, match="lower-case letters"):
        install_roles(services.database_url, logins=[Login(name, "p", (Role.WORKER,))])
