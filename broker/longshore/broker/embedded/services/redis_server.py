"""The embedded Redis: append-only file, needs a password, listens on loopback only, and never runs as root.

Its only user has no command that reads files, writes to a chosen path, loads code or changes the settings.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import redis

from longshore.broker.embedded.files import home_errors, last_lines, write_private
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.process.account import Account
from longshore.broker.embedded.process.processes import Command
from longshore.broker.embedded.services.ports import LOOPBACK
from longshore.broker.embedded.services.redis_binaries import find_program, program_version, runnable_by
from longshore.shared.errors import HomeError

#: What the log says when the data cannot be read: damaged, or written by a newer server.
_DAMAGE_WORDS = ("append only file", "aof", "rdb", "loading", "short read", "bad file format")
#: Lines at the end of the log, among which those of the last start are.
_LOG_LINES = 100


class RedisServer:
    """The Redis of one home.

    :param account: the user to run it as; ``None`` for the current one.
    """

    name = "redis"

    def __init__(self, home: Home, password: str, account: Account | None = None) -> None:
        self._home = home
        self._password = password
        self._account = account

    def command(self, port: int) -> Command:
        """The command that starts it on ``port``. The password is in a file that only its owner can read.

        :raises HomeError: no program is installed, or the file cannot be written.
        """
        program = find_program(os.environ.get("PATH", os.defpath))
        file = self._home.redis / "redis.conf"
        with home_errors(file):
            write_private(file, configuration(self._home.redis, port, self._password, program_version(program)))
            self._give_to_account()
        return Command(
            name=self.name,
            argv=(str(runnable_by(program, self._home, self._account)), str(file)),
            environ={"PATH": os.defpath, "LC_ALL": "C"},
            account=self._account,
            grace_s=30.0,
        )

    def answers(self, port: int) -> bool:
        """Whether it accepts commands. It does not while it reads its append-only file."""
        client = redis.Redis(host=LOOPBACK, port=port, password=self._password, socket_timeout=5)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def set_aside(self, pid: int) -> Path | None:
        """After a start that failed: move the data away if they could not be read.

        :param pid: of the process that was started. The log has lines of earlier ones, which may have read them well.
        :returns: where they are kept; ``None`` if the start failed for another reason.
        :raises HomeError: they cannot be moved.
        """
        data = [path for path in self._home.redis.iterdir() if path.name != "redis.conf"]
        lines = last_lines(self._home.log(self.name), _LOG_LINES).lower().splitlines()
        log = "\n".join(line for line in lines if line.startswith(f"{pid}:"))
        if not data or not any(words in log for words in _DAMAGE_WORDS):
            return None
        kept = self._home.path / f"redis.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        with home_errors(kept):
            self._home.redis.rename(kept)
            self._home.redis.mkdir(mode=0o700)
        return kept

    def url(self, port: int) -> str:
        """The URL, with the password."""
        return f"redis://:{self._password}@{LOOPBACK}:{port}/0"

    def _give_to_account(self) -> None:
        if self._account is None:
            return
        # The folder itself may be a link to another disk; only the owner of the home can have put it there.
        folder = self._home.redis.resolve()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self._account.uid, self._account.gid, follow_symlinks=False)
        closed = self._account.closed_folder(folder)
        if closed is not None:
            raise HomeError(
                f"{self._home.redis}: Redis runs as user {self._account.name}, who may not enter {closed}; "
                "move the folder back into the home"
            )


def configuration(folder: Path, port: int, password: str, version: tuple[int, ...] = ()) -> str:
    """The content of ``redis.conf``. A crash loses at most one second of tickets; the relay publishes them again.

    :param version: of the program; older ones do not know all settings.
    """
    digest = hashlib.sha256(password.encode()).hexdigest()
    text = f"""\
bind {LOOPBACK}
protected-mode yes
port {port}
user default reset on #{digest} ~* &* +@all -@admin +client -migrate -restore
dir {_quote(str(folder))}
pidfile {_quote(str(folder / "redis.pid"))}
daemonize no
logfile ""
save ""
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
proto-max-bulk-len 16mb
"""
    if version >= (7,):
        text += "enable-protected-configs no\nenable-debug-command no\nenable-module-command no\n"
    return text


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
