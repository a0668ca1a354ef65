"""The embedded Postgres: needs a password, listens on loopback only, and never runs as root."""

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
from longshore.broker.embedded.process.account import Account, check_reachable
from longshore.broker.embedded.process.processes import Command
from longshore.broker.embedded.services.ports import LOOPBACK
from longshore.broker.embedded.services.postgres_binaries import MAJOR, find_binaries
from longshore.broker.embedded.services.postgres_logins import SUPERUSER, PostgresLogins
from longshore.shared.errors import HomeError, ServiceUnavailable
from longshore.shared.ledger import statements
from longshore.shared.settings import Process

DATABASE = "longshore"

#: Bytes that must be free to make a database: its first files, the write-ahead log and some results.
MIN_FREE_BYTES = 200 * 2**20

#: Written to ``postgresql.conf`` once; users can change it there. Commits are durable: ``fsync`` and
#: ``synchronous_commit`` are on by default.
SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    # Results arrive in large COPYs: with fewer checkpoints, less is written twice.
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # Statements are short: compiling them takes longer than running them.
    "jit": "off",
    "random_page_cost": "1.1",
}


class PostgresServer:
    """The Postgres of one home.

    :param account: the user to run it as; ``None`` for the current one.
    """

    name = "postgres"

    def __init__(self, home: Home, password: str, account: Account | None) -> None:
        self._home = home
        self._logins = PostgresLogins(password)
        self._password = password
        self._account = account
        self._binaries: Path | None = None
        self._partial = home.path / "postgres.partial"
        self._password_file = home.path / "postgres.password"

    def prepare(self, run: Callable[[Command], None]) -> None:
        """Make the data folder atomically, if it does not exist.

        :param run: starts a process and waits for its end.
        :raises HomeError: the folder cannot be made, or was made by another major version.
        """
        if self._account is not None:
            check_reachable(self._home.path, self._account)
        data = self._home.postgres
        with home_errors(data):
            self._remove_partial()
            if data.exists() and not any(data.iterdir()):
                data.rmdir()
            if not data.exists():
                self._initialise(run)
            self._check_version(data)

    def command(self, port: int) -> Command:
        """The command that starts it on ``port``.

        :raises HomeError: its programs are missing.
        """
        options = {"listen_addresses": LOOPBACK, "port": str(port), "unix_socket_directories": ""}
        settings = [argument for key, value in options.items() for argument in ("-c", f"{key}={value}")]
        return Command(
            name=self.name,
            argv=(str(self._programs() / "postgres"), "-D", str(self._home.postgres), *settings),
            environ=_environ(),
            account=self._account,
            stop_signal=signal.SIGINT,  # fast shutdown: open transactions are rolled back
            grace_s=30.0,
        )

    def answers(self, port: int) -> bool:
        """Whether it accepts connections. Creates the database if it does not exist.

        :raises HomeError: it refuses the password of this home.
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

    def set_aside(self, pid: int) -> None:
        """The data of Postgres are never moved: they are all there is."""

    def url(self, port: int, process: Process) -> str:
        """The URL for a kind of process, with its password.

        TLS is disabled: the server has no certificate, and loopback needs none.
        """
        user, password = self._logins.credentials(process)
        return f"postgresql://{user}:{password}@{LOOPBACK}:{port}/{DATABASE}?sslmode=disable"

    def install_logins(self, port: int) -> None:
        """Make or update the logins, with their rights on the tables that exist.

        :raises HomeError: it does not work.
        """
        try:
            self._logins.install(self.url(port, Process.OWNER))
        except ServiceUnavailable as error:
            raise HomeError(f"the logins of {self._home.postgres} cannot be made: {error}") from None

    def _programs(self) -> Path:
        if self._binaries is None:
            self._binaries = find_binaries(self._home, self._account)
        return self._binaries

    def _initialise(self, run: Callable[[Command], None]) -> None:
        check_space(self._home.path, MIN_FREE_BYTES)
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
            self._remove_partial()

    def _initdb(self) -> Command:
        program = str(self._programs() / "initdb")
        access = ("--auth-local=scram-sha-256", "--auth-host=scram-sha-256", f"--pwfile={self._password_file}")
        # Postgres' built-in collation, so that a change of the system's locales cannot corrupt an index.
        text = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        settings = [argument for key, value in SETTINGS.items() for argument in ("--set", f"{key}={value}")]
        return Command(
            name="initdb",
            argv=(program, "--no-instructions", "-D", str(self._partial), "-U", SUPERUSER, *access, *text, *settings),
            environ=_environ(),
            account=self._account,
        )

    def _remove_partial(self) -> None:
        """Remove what an interrupted first start left."""
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
            user=SUPERUSER,
            password=self._password,
            dbname="postgres",
            sslmode="disable",
            connect_timeout=5,
            autocommit=True,
        )
        with connection:
            if connection.execute(statements.installation.FIND_DATABASE, {"name": DATABASE}).rowcount == 0:
                with suppress(psycopg.errors.DuplicateDatabase):
                    connection.execute(statements.installation.CREATE_DATABASE)


def _environ() -> dict[str, str]:
    """A minimal environment: Longshore's own contains passwords, and Postgres may run as another user."""
    return {"PATH": os.defpath, "LC_ALL": "C"}
