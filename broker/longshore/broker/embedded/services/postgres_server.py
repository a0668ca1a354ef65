"""The embedded Postgres: a password for every connection, loopback only, and never as root."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg

from longshore.broker.embedded.files import check_space, home_errors, sync_folder, write_private
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.process.processes import Command
from longshore.broker.embedded.services.account import Account, check_reachable
from longshore.broker.embedded.services.ports import LOOPBACK
from longshore.broker.embedded.services.postgres_binaries import MAJOR, find_binaries
from longshore.shared.errors import HomeError

#: The database, and the user who owns it.
DATABASE = "longshore"
USER = "longshore"

#: Bytes that must be free before a database is made: its first files, its log ahead and some results.
NEEDED_SPACE = 200 * 2**20

#: Goes into ``postgresql.conf`` once, where it can be changed. Commits stay durable: ``fsync`` and
#: ``synchronous_commit`` keep their defaults, which are on.
SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    # Results come in large COPYs: fewer checkpoints, less written twice.
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # Statements are short; compiling them takes longer than running them.
    "jit": "off",
    "random_page_cost": "1.1",
}


class PostgresServer:
    """The Postgres of one home.

    :param account: the user to run it as; ``None`` for the present one.
    """

    name = "postgres"

    def __init__(self, home: Home, password: str, account: Account | None) -> None:
        self._home = home
        self._password = password
        self._account = account
        self._binaries: Path | None = None
        self._partial = home.path / "postgres.partial"
        self._password_file = home.path / "postgres.password"

    def prepare(self, run: Callable[[Command], None]) -> None:
        """Make the data folder, if there is none yet. It appears as a whole or not at all.

        :param run: starts a process and waits for its end.
        :raises HomeError: it cannot be made, or was made by another major version.
        """
        if self._account is not None:
            check_reachable(self._home.path, self._account)
        data = self._home.postgres
        with home_errors(data):
            self._remove_half_made()
            if data.exists() and not any(data.iterdir()):
                data.rmdir()
            if not data.exists():
                self._initialise(run)
            self._check_version(data)

    def command(self, port: int) -> Command:
        """How to start it on ``port``.

        :raises HomeError: its programs are missing.
        """
        options = {"listen_addresses": LOOPBACK, "port": str(port), "unix_socket_directories": ""}
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        return Command(
            name=self.name,
            argv=(str(self._programs() / "postgres"), "-D", str(self._home.postgres), *settings),
            environ=_environ(),
            account=self._account,
            stop_signal=signal.SIGINT,  # fast: open transactions are rolled back, nothing is waited for
            grace_s=30.0,
        )

    def answers(self, port: int) -> bool:
        """Whether it can be used; makes the database when it is not there yet.

        :raises HomeError: it does not take the password of this home.
        """
        try:
            self._ensure_database(port)
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise HomeError(
                    f"{self._home.postgres} does not open with {self._home.secrets_file}; restore it"
                ) from None
            return False
        return True

    def url(self, port: int) -> str:
        """The address, with the password. It asks for no TLS, which loopback needs not and this server has not."""
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{port}/{DATABASE}?sslmode=disable"

    def _programs(self) -> Path:
        if self._binaries is None:
            self._binaries = find_binaries(self._home, self._account)
        return self._binaries

    def _initialise(self, run: Callable[[Command], None]) -> None:
        check_space(self._home.path, NEEDED_SPACE)
        try:
            self._partial.mkdir(mode=0o700)
            write_private(self._password_file, self._password + "\n")
            if self._account is not None:
                for path in (self._partial, self._password_file):
                    os.chown(path, self._account.uid, self._account.gid)
            run(self._initdb())
            self._partial.rename(self._home.postgres)
            sync_folder(self._home.path)
        finally:
            self._remove_half_made()

    def _initdb(self) -> Command:
        program = str(self._programs() / "initdb")
        access = ("--auth-local=scram-sha-256", "--auth-host=scram-sha-256", f"--pwfile={self._password_file}")
        # Sorting and upper case are Postgres' own, so that no change of the system's locales can spoil an index.
        text = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
        return Command(
            name="initdb",
            argv=(program, "--no-instructions", "-D", str(self._partial), "-U", USER, *access, *text, *settings),
            environ=_environ(),
            account=self._account,
        )

    def _remove_half_made(self) -> None:
        """What a first start left that was stopped or killed in the middle."""
        self._password_file.unlink(missing_ok=True)
        if self._partial.exists():
            shutil.rmtree(self._partial)

    def _check_version(self, data: Path) -> None:
        file = data / "PG_VERSION"
        if not file.exists():
            raise HomeError(
                f"{data} holds files, but no database (no PG_VERSION); move it away, then run the command again"
            )
        version = file.read_text().strip()
        if version != str(MAJOR):
            raise HomeError(
                f"{data} was made by PostgreSQL {version} and this is {MAJOR}; move its data with pg_upgrade"
            )

    def _ensure_database(self, port: int) -> None:
        connection = psycopg.connect(
            host=LOOPBACK,
            port=port,
            user=USER,
            password=self._password,
            dbname="postgres",
            sslmode="disable",
            connect_timeout=5,
            autocommit=True,
        )
        with connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount == 0:
                with suppress(psycopg.errors.DuplicateDatabase):
                    connection.execute(f"CREATE DATABASE {DATABASE}")


def _environ() -> dict[str, str]:
    """The least it needs: nothing of Longshore's environment, which holds passwords, reaches another user."""
    return {"PATH": os.defpath, "LC_ALL": "C"}
