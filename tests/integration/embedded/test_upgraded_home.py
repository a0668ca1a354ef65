"""A home as the release before logins left it: one superuser, tables of revision 0009, and a Redis that root ran."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import redis

from longshore.broker import embedded
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.services.postgres_logins import SUPERUSER
from longshore.shared.errors import HomeError
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import downgrade, migrate
from longshore.shared.settings import Process, load_settings
from longshore.shared.vocabulary import State
from tests.integration.homes import folder_for_homes
from tests.integration.support import claim, commit, new_job, rows_of, run, submit

#: What that release had.
REVISION = "0009"
#: One key in the single file that Redis 6.2 writes, and the same of a server that is newer than any.
OLD_FILE = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$4\r\nkept\r\n"
NEWER_FILE = b"REDIS9999\xfa\x09redis-ver\x0599.99\xfe\x00\xff\0\0\0\0\0\0\0\0"

UNDO_LOGINS = """
DO $do$ DECLARE item record; BEGIN
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
    GRANT USAGE ON SCHEMA public TO PUBLIC;
    FOR item IN SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'longshore_') LOOP
        EXECUTE format('DROP OWNED BY %I', item.rolname);
        EXECUTE format('DROP ROLE %I', item.rolname);
    END LOOP;
END $do$
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_for_homes() as folder:
        yield folder


def url(home: Path, process: Process) -> str:
    return load_settings(home=home, environ={}, process=process).database_url


def make_old_home(home: Path) -> tuple[UUID, UUID, UUID]:
    """A home that is down, with a job that has succeeded, one that waits, and one that was running."""
    embedded.up(home, detach=True, services=(), migrate=())
    owner = url(home, Process.OWNER)
    with psycopg.connect(owner) as connection:
        connection.execute(UNDO_LOGINS)
    migrate(owner)  # the statements of this release need the columns of today
    with Ledger(owner) as ledger:
        done, waiting, running = submit(ledger, 3), submit(ledger, 2), submit(ledger, 2)
        run(ledger, done)
        claim(ledger, running)
    assert downgrade(owner, REVISION) == REVISION
    with psycopg.connect(owner) as connection:
        owners = connection.execute(
            """SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"""
        ).fetchall()
    assert owners == [(SUPERUSER,)]
    embedded.down(home)
    paths = Home(home)
    for copy in home.glob("redis-server-*"):
        copy.unlink()
    shutil.rmtree(paths.redis / "appendonlydir")
    (paths.redis / "appendonly.aof").write_bytes(OLD_FILE)
    for path in (paths.redis, *paths.redis.rglob("*")):
        os.chown(path, os.geteuid(), os.getegid())
    return done, waiting, running


def check_jobs(home: Path, done: UUID, waiting: UUID, running: UUID) -> None:
    """Each process does its part with its own login."""
    with Ledger(url(home, Process.SERVICES)) as services, Ledger(url(home, Process.PRODUCER)) as producer:
        assert rows_of(producer, done) == [0, 1, 2]
        assert producer.queries.job(done).state is State.SUCCEEDED
        assert waiting in {ticket.job_id for ticket in services.maintenance.unpublished(grace=0)}
        commit(services, claim(services, waiting))
        with psycopg.connect(url(home, Process.OWNER)) as connection:
            connection.execute("UPDATE shards SET lease_until = now() - interval '1 second' WHERE state = 'running'")
        assert services.maintenance.expire_leases() == 1
        commit(services, claim(services, running))
        assert [rows_of(producer, job) for job in (waiting, running)] == [[0, 1], [0, 1]]
        assert {producer.queries.job(job).state for job in (waiting, running)} == {State.SUCCEEDED}
        new = producer.submissions.submit([new_job(1)])[0]
        run(services, new)
        assert services.partitions.create_missing(ahead=5).created


def key_of(home: Path) -> bytes | None:
    with redis.Redis.from_url(load_settings(home=home, environ={}).redis_url) as client:
        value = client.get("key")
    assert value is None or isinstance(value, bytes)
    return value


def test_jobs_results_and_messages_survive_and_logins_are_made(folder: Path) -> None:
    home = folder / "home"
    jobs = make_old_home(home)

    embedded.up(home, detach=True, services=())
    assert key_of(home) == b"kept"
    check_jobs(home, *jobs)
    embedded.down(home)

    embedded.up(home, detach=True, services=(), migrate=())
    assert key_of(home) == b"kept"
    with Ledger(url(home, Process.PRODUCER)) as producer:
        assert [rows_of(producer, job) for job in jobs] == [[0, 1, 2], [0, 1], [0, 1]]
    assert not list(home.glob("redis.damaged-*"))


def test_redis_data_of_a_newer_server_are_set_aside(folder: Path) -> None:
    home = folder / "home"
    embedded.up(home, detach=True, services=(), migrate=())
    embedded.down(home)
    shutil.rmtree(home / "redis" / "appendonlydir")
    (home / "redis" / "appendonly.aof").write_bytes(NEWER_FILE)

    embedded.up(home, detach=True, services=(), migrate=())
    assert key_of(home) is None
    [kept] = home.glob("redis.damaged-*")
    assert any(path.read_bytes() == NEWER_FILE for path in kept.rglob("*.aof"))


def test_a_redis_folder_on_another_disk_is_still_used(folder: Path) -> None:
    home, disk = folder / "home", folder / "disk"
    Home(home).prepare()
    (home / "redis").rmdir()
    disk.mkdir(mode=0o700)
    (disk / "appendonly.aof").write_bytes(OLD_FILE)
    (home / "redis").symlink_to(disk)

    embedded.up(home, detach=True, services=(), migrate=())
    assert key_of(home) == b"kept"
    assert (home / "redis").is_symlink()
    assert (disk / "appendonlydir").is_dir()
    assert not list(home.glob("redis.damaged-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Redis as another user")
def test_a_redis_folder_that_its_user_cannot_reach_is_named(folder: Path) -> None:
    home, closed = folder / "home", folder / "closed"
    Home(home).prepare()
    (home / "redis").rmdir()
    closed.mkdir(mode=0o700)
    (closed / "redis").mkdir()
    (home / "redis").symlink_to(closed / "redis")
    with pytest.raises(HomeError, match=rf"may not enter {closed};"):
        embedded.up(home, detach=True, services=(), migrate=())
    assert not list(home.glob("redis.damaged-*"))
