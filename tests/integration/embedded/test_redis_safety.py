"""The embedded Redis: who it runs as, what its user may do, and data that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from longshore.broker import embedded
from longshore.broker.embedded.services.redis_binaries import find_program
from longshore.shared.settings import load_settings
from tests.integration.homes import folder_for_homes

#: Commands that read or write files, load code, change settings or end the server.
FORBIDDEN = (
    "CONFIG GET dir",
    "CONFIG SET dir /tmp",
    "CONFIG REWRITE",
    "SAVE",
    "BGSAVE",
    "BGREWRITEAOF",
    "MODULE LOAD /tmp/x.so",
    "DEBUG SLEEP 0",
    "REPLICAOF 127.0.0.1 1",
    "SLAVEOF 127.0.0.1 1",
    "SHUTDOWN NOSAVE",
    "ACL SETUSER other on nopass +@all ~*",
    "MONITOR",
    "PSYNC ? -1",
    "MIGRATE 127.0.0.1 1 key 0 1",
    "FAILOVER",
)


@pytest.fixture(autouse=True, params=["of the system", "of the wheel"])
def _server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server that is started: a system may have none, and then it is the one in the wheel."""
    if request.param == "of the wheel":
        (tmp_path / "valkey-server").symlink_to(find_program("", ()))
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def home() -> Iterator[Path]:
    with folder_for_homes() as folder:
        yield folder / "home"


def test_its_user_has_no_command_that_leaves_redis(home: Path) -> None:
    embedded.up(home, detach=True, services=(), migrate=())
    with redis.Redis.from_url(load_settings(home=home, environ={}).redis_url) as client:
        for command in FORBIDDEN:
            with pytest.raises(redis.ResponseError, match=r"permission|not allowed"):
                client.execute_command(*command.split())
        client.set("key", "value")
        client.client_list()
        process = psutil.Process(client.info("server")["process_id"])
    if os.geteuid() == 0:
        assert process.username() == "longshore"


def test_data_that_cannot_be_read_are_set_aside(home: Path) -> None:
    embedded.up(home, detach=True, services=(), migrate=())
    settings = load_settings(home=home, environ={})
    with redis.Redis.from_url(settings.redis_url) as client:
        for number in range(2000):
            client.lpush("cpu", f"message {number} ".ljust(100, "."))
    embedded.down(home)
    [file] = [path for path in (home / "redis").rglob("*.aof") if path.stat().st_size > 100_000]
    content = bytearray(file.read_bytes())
    content[40_000:56_384] = os.urandom(16_384)
    file.write_bytes(content)

    embedded.up(home, detach=True, services=(), migrate=())
    with redis.Redis.from_url(load_settings(home=home, environ={}).redis_url) as client:
        assert client.dbsize() == 0
    [kept] = home.glob("redis.damaged-*")
    assert any(path.read_bytes() == content for path in kept.rglob("*.aof"))
    assert f"the data of redis cannot be read: they are kept in {kept}" in (home / "logs" / "up.log").read_text()
