"""Postgres refuses the jobs of a producer beyond its limit, however they are submitted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from longshore.shared.errors import InvalidInput, QueueFull, ServiceUnavailable
from longshore.shared.ledger.jobs.producer_limits import ProducerLimit
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import downgrade, migrate, pending_changes
from longshore.shared.ledger.records import NewInput, NewJob
from longshore.shared.ledger.roles.rights import Role
from longshore.shared.settings import Settings
from tests.integration.logins import as_role, login_name, make_logins
from tests.integration.support import claim, commit, empty_database, new_job, run, submit, together

BEYOND = "producer: 'tests' would have more than {} jobs that have not ended, the limit that an operator has set"


@pytest.fixture
def limited(ledger: Ledger) -> Iterator[Ledger]:
    """A ledger whose limits are removed at the end."""
    yield ledger
    for each in ledger.producer_limits.list():
        ledger.producer_limits.set(each.producer, None)


def job(producer: str = "tests", key: str | None = None) -> NewJob:
    return new_job(1, producer=producer, key=key, request=None if key is None else "r")


def test_each_way_to_submit_is_limited(limited: Ledger) -> None:
    limited.producer_limits.set("tests", 3)
    first = submit(limited, 1)
    for jobs in ([job(), job(), job()], [replace(job(), shards=[*job().shards] * 2), job(), job()]):
        with pytest.raises(QueueFull, match=BEYOND.format(3)):
            limited.submissions.submit(jobs)
    # All or none, and up to the limit.
    assert len(limited.queries.jobs()) == 1
    keyed = job(key="k")
    limited.submissions.submit([keyed, new_job(1, depends_on=first)])
    with pytest.raises(QueueFull, match=BEYOND.format(3)):
        limited.submissions.submit([job()])
    with pytest.raises(QueueFull, match="longshore producers limit"):
        limited.submissions.submit([job(key="l")])
    # What was submitted before is no new job, and other producers have no limit.
    assert limited.submissions.submit([job(key="k")]) == [keyed.id]
    limited.submissions.submit([job("other") for _ in range(5)])
    assert limited.producer_limits.list() == [ProducerLimit("tests", 3, 3)]


def test_jobs_that_have_ended_make_room(limited: Ledger) -> None:
    limited.producer_limits.set("tests", 1)
    first = submit(limited, 1)
    started = claim(limited, first)
    with pytest.raises(QueueFull):
        submit(limited, 1)
    commit(limited, started)
    second = submit(limited, 1)
    limited.control.cancel(second)
    submit(limited, 1)


def test_a_limit_for_all_others(limited: Ledger) -> None:
    limited.producer_limits.set("*", 1)
    limited.producer_limits.set("tests", 2)
    limited.submissions.submit([job(), job(), job("a"), job("b")])
    with pytest.raises(QueueFull, match="producer: 'a' would have more than 1 jobs"):
        limited.submissions.submit([job("c"), job("a")])
    limited.producer_limits.set("*", None)
    limited.submissions.submit([job("a") for _ in range(3)])
    limited.producer_limits.set("tests", 0)
    with pytest.raises(QueueFull, match=BEYOND.format(0)):
        limited.submissions.submit([job()])


def test_without_limits_there_is_no_trigger_for_them(limited: Ledger) -> None:
    def triggers() -> list[str]:
        with limited.database.connection() as conn:
            found = conn.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = 'jobs'::regclass ORDER BY 1")
            return [name for (name,) in found]

    assert triggers() == ["jobs_check_versions"]
    together(*[lambda number=number: limited.producer_limits.set(f"p{number}", number) for number in range(4)])
    assert triggers() == ["jobs_check_limits", "jobs_check_versions"]
    for number in range(4):
        limited.producer_limits.set(f"p{number}", None)
    assert triggers() == ["jobs_check_versions"]


def test_wrong_limits_are_refused(limited: Ledger) -> None:
    for producer, jobs in (("", 1), ("p" * 201, 1), ("p", -1), ("p", 2**31)):
        with pytest.raises(InvalidInput):
            limited.producer_limits.set(producer, jobs)


@pytest.mark.parametrize("row_security", [False, True])
def test_a_producer_cannot_get_around_its_limit(services: Settings, row_security: bool) -> None:
    with empty_database(services) as settings:
        migrate(settings.database_url)
        make_logins(settings.database_url, row_security=row_security)
        mine = as_role(settings, Role.PRODUCER)
        own = login_name(Role.PRODUCER)
        with Ledger(settings.database_url) as admin, Ledger(mine.database_url) as producer:
            with pytest.raises(ServiceUnavailable, match="permission denied"):
                producer.producer_limits.set(own, 100)
            admin.producer_limits.set(own, 1)
            with Ledger(as_role(settings, Role.OWNER).database_url) as owner:
                owner.producer_limits.set(own, 2)
            producer.submissions.submit([job(own)], [])
            for statement in (
                "DELETE FROM producer_limits",
                "ALTER TABLE jobs DISABLE TRIGGER jobs_check_limits",
                "SET session_replication_role = replica",
                "CREATE OR REPLACE FUNCTION longshore_check_limits() RETURNS trigger LANGUAGE sql AS 'SELECT NULL'",
            ):
                with (
                    psycopg.connect(mine.database_url) as conn,
                    pytest.raises(psycopg.errors.InsufficientPrivilege),
                ):
                    conn.execute(sql.SQL(statement))
            with psycopg.connect(mine.database_url) as conn:
                # Tables that would hide the real ones.
                conn.execute("CREATE TEMP TABLE producer_limits AS SELECT 'x' AS producer, 99 AS max_jobs")
                conn.execute("CREATE TEMP TABLE hidden (id uuid)")
                conn.execute("SET search_path = pg_temp, public")
                insert = """INSERT INTO jobs (id, kind, state, producer, queue, priority, spec, model, max_attempts,
                                              shards_total)
                            VALUES (gen_random_uuid(), 'infer', 'queued', %s, 'cpu', 4, '{}', 'm', 1, 1)"""
                conn.execute(insert, [own])
                with pytest.raises(psycopg.DatabaseError, match="more than 2 jobs") as refused:
                    conn.execute(insert, [own])
                assert refused.value.sqlstate == "LS001"
            producer.submissions.submit([job(own)], [NewInput(id=job().id, data=b"x", blob=None)])
            with pytest.raises(QueueFull):
                producer.submissions.submit([job(own)])


def test_a_limit_set_before_the_roles_exist_stays(fresh: Settings) -> None:
    migrate(fresh.database_url)
    own = login_name(Role.PRODUCER)
    with Ledger(fresh.database_url) as admin:
        admin.producer_limits.set(own, 1)
        make_logins(fresh.database_url)
        with Ledger(as_role(fresh, Role.PRODUCER).database_url) as producer:
            producer.submissions.submit([job(own)])
            with pytest.raises(QueueFull):
                producer.submissions.submit([job(own)])
            admin.producer_limits.set(own, 2)
            producer.submissions.submit([job(own)])
    downgrade(fresh.database_url, "0011")
    migrate(fresh.database_url)
    assert pending_changes(fresh.database_url) == []
    with Ledger(fresh.database_url) as admin:
        run(admin, admin.submissions.submit([job()])[0])
