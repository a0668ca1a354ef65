"""Postgres as its administrators set it up: other defaults, other schemas, fewer rights, a standby, several hosts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

from longshore.shared.errors import LongshoreError, ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import migrate, pending_changes
from longshore.shared.settings import Settings
from tests.integration.ledger.connections.addresses import through
from tests.integration.support import claim, commit, new_job, run, submit, together
from tests.waiting import wait_until

#: What an administrator may have set for a database: time-outs longer than it takes to connect, and shorter than the
#: test works and waits.
DEFAULTS = {
    "default_transaction_isolation": ["repeatable read", "serializable"],
    "default_transaction_read_only": ["on"],
    "statement_timeout": ["1s"],
    "lock_timeout": ["1s"],
    "idle_in_transaction_session_timeout": ["1s"],
    "idle_session_timeout": ["1s"],
}


@contextmanager
def default(settings: Settings, name: str, value: str) -> Iterator[None]:
    """A default of the database, for connections from now on."""
    database = sql.Identifier(urlsplit(settings.database_url).path.removeprefix("/"))
    # Written before the default holds, which may forbid writing.
    with psycopg.connect(settings.database_url, autocommit=True) as conn:
        conn.execute("SET idle_session_timeout = 0")
        conn.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(database, sql.Identifier(name), value))
        try:
            yield
        finally:
            conn.execute(sql.SQL("ALTER DATABASE {} RESET {}").format(database, sql.Identifier(name)))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in DEFAULTS.items() for value in values])
def test_no_default_of_the_server_is_an_error_of_a_job(fresh: Settings, name: str, value: str) -> None:
    with default(fresh, name, value):
        migrate(fresh.database_url)
        with Ledger(fresh.database_url) as ledger:
            jobs = [submit(ledger, *[1] * 4) for _ in range(2)]
            time.sleep(1.2)
            with ledger.database.connection() as conn:
                conn.execute("SELECT pg_sleep(1.2)")
            # At once: under other isolation levels, the job's counters are serialization failures.
            together(*[lambda job=job, shard=shard: run(ledger, job, shard) for job in jobs for shard in range(4)])
            for job in jobs:
                record = ledger.queries.job(job)
                assert (record.state, record.rows_done) == ("succeeded", 4)
                assert all(shard.attempt == 1 and not shard.errors for shard in ledger.queries.shards(job))


def test_a_cancelled_statement_is_repeated(ledger: Ledger) -> None:
    tries = []

    def change(conn: psycopg.Connection[tuple[object, ...]]) -> int:
        tries.append(1)
        if len(tries) < 3:
            conn.execute("SET LOCAL statement_timeout = 1")
            conn.execute("SELECT pg_sleep(10)")
        return len(tries)

    assert ledger.database.change(change) == 3


def test_sessions_ask_whether_their_client_is_there(ledger: Ledger) -> None:
    expected = {
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "20000",
    }
    with ledger.database.connection() as conn:
        for name, value in expected.items():
            assert conn.execute(f"SHOW {name}").fetchone() == (value,)


def in_schema(settings: Settings, schema: str) -> Settings:
    """A schema of its own, and the addresses that lead there."""
    with psycopg.connect(settings.database_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    glue = "&" if "?" in settings.database_url else "?"
    return replace(settings, database_url=f"{settings.database_url}{glue}options={quote(f'-c search_path={schema}')}")


def nobody_leads(ledger: Ledger) -> bool:
    return ledger.queries.relay_silence() is None


def test_two_clusters_in_two_schemas_each_have_a_leader(fresh: Settings) -> None:
    clusters = [fresh, in_schema(fresh, "second"), in_schema(fresh, "third")]
    for settings in clusters:
        migrate(settings.database_url)
        assert pending_changes(settings.database_url) == []
    ledgers = [Ledger(settings.database_url) for settings in clusters]
    for ledger in ledgers:
        submit(ledger, 1)
        # A connection may end a moment after it was closed.
        wait_until(partial(nobody_leads, ledger), "the end of the lead")
        with ledger.database.own_connection() as conn:
            assert ledger.maintenance.try_lead(conn)
            assert ledger.queries.relay_silence() is not None
            with ledger.database.own_connection() as other:
                assert not ledger.maintenance.try_lead(other), "of the same cluster"
            for another in ledgers:
                if another is not ledger:
                    with another.database.own_connection() as theirs:
                        assert another.maintenance.try_lead(theirs), "of another cluster"
    for ledger in ledgers:
        job = ledger.queries.jobs()[0].id
        assert len(ledger.queries.jobs()) == 1
        ledger.partitions.create_missing()
        commit(ledger, claim(ledger, job))
        ledger.close()


@contextmanager
def role(settings: Settings, *grants: str) -> Iterator[Settings]:
    """A user with few rights."""
    name = sql.Identifier("longshore_few_rights")
    parts = urlsplit(settings.database_url)
    netloc = f"longshore_few_rights:secret@{parts.hostname}:{parts.port}"
    with psycopg.connect(settings.database_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret' CONNECTION LIMIT 2").format(name))
        try:
            for grant in grants:
                conn.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(grant), name))
            yield replace(settings, database_url=parts._replace(netloc=netloc).geturl())
        finally:
            conn.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(name))
            conn.execute(sql.SQL("DROP ROLE {}").format(name))


def sessions_of_few_rights(settings: Settings) -> int:
    """How many connections count against its limit."""
    with psycopg.connect(settings.database_url) as conn:
        return conn.execute("SELECT FROM pg_stat_activity WHERE usename = 'longshore_few_rights'").rowcount


def error_of(url: str) -> str:
    with pytest.raises(ServiceUnavailable) as migrating:
        migrate(url)
    assert "\n" not in str(migrating.value)
    return str(migrating.value)


def test_what_keeps_a_migration_from_running_is_named_with_a_remedy(fresh: Settings) -> None:
    parts = urlsplit(fresh.database_url)
    assert parts.password is not None
    with role(fresh) as poor:
        assert "GRANT USAGE, CREATE ON SCHEMA" in error_of(poor.database_url)
        wait_until(lambda: not sessions_of_few_rights(fresh), "the end of its connections")
        with psycopg.connect(poor.database_url), psycopg.connect(poor.database_url):
            assert "raise max_connections (or the limit of the role" in error_of(poor.database_url)
    absent = parts._replace(path="/absent").geturl()
    assert "create the database, or correct its name" in error_of(absent)
    wrong = parts._replace(netloc=parts.netloc.replace(parts.password, "wrong")).geturl()
    assert "correct the user and the password" in error_of(wrong)
    assert "check sslmode, sslrootcert" in error_of(f"{fresh.database_url.partition('?')[0]}?sslmode=require")
    assert "is it running, with its socket in this folder?" in error_of("postgresql:///longshore?host=/absent")
    assert "create the schema" in error_of(f"{fresh.database_url}&options={quote('-c search_path=absent')}")


def test_of_several_hosts_the_one_that_answers_is_used(services: Settings, ledger: Ledger) -> None:
    place = through(services.database_url)
    two = services.database_url.replace(f"@{place.host}:{place.port}", f"@127.0.0.1:1,{place.host}:{place.port}")
    with Ledger(two) as several:
        assert several.queries.jobs() == []
        assert several.database.address == f"127.0.0.1:1,{place.host}:{place.port}"
    assert migrate(two)


def test_a_server_that_takes_no_writes_is_an_outage_that_passes(ledger: Ledger) -> None:
    """As after a failover: sessions that were open can read, and not write."""
    job = submit(ledger, 1)
    with ledger.database.connection() as conn:
        conn.execute("SET default_transaction_read_only = on")
    with pytest.raises(ServiceUnavailable, match="takes no writes now"):
        ledger.control.cancel(job)
    assert ledger.control.cancel(job), "over a new connection"


def test_errors_are_not_taken_for_outages(ledger: Ledger) -> None:
    # Too long for an index: the client refuses such names before.
    jobs: Sequence[str] = ["".join(chr(0x4E00 + (i * j) % 20000) for i in range(5000)) for j in (7, 11)]
    for name in jobs:
        with pytest.raises(LongshoreError, match="longer than Postgres can hold") as caught:
            ledger.submissions.submit([new_job(1, producer=name, key="a", request="b")])
        assert not isinstance(caught.value, ServiceUnavailable)
