"""The home: the one folder with the services, the store and the logs of an embedded cluster.

home/                 0700; 0711 for root, so that the user Postgres runs as can pass through
├── .longshore-home   marks this folder as a home
├── secrets.json      0600, made once: the passwords of Redis, Postgres and Flower
├── cluster.json      0600, only while the cluster is up: where the services listen, with the login of producers
├── logins.json       0600, only while the cluster is up: the address of Postgres for each other kind of process
├── up.lock           locked by the running ``up``
├── run/              processes.json: the running processes; ports.json: the last ports
├── redis/  postgres/  store/
└── logs/             one file for each process
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from longshore.broker.embedded.files import home_errors, write_private
from longshore.shared.errors import HomeError
from longshore.shared.settings import CLUSTER_FILE, LOGINS_FILE

_MARKER = ".longshore-home"
#: The content of the marker: the version of this layout.
_LAYOUT = "1"


@dataclass(frozen=True)
class Secrets:
    """The passwords of one home."""

    redis_password: str = field(repr=False)
    postgres_password: str = field(repr=False)
    flower_password: str = field(repr=False)


@dataclass(frozen=True)
class Home:
    """A home folder and the paths in it."""

    path: Path

    @property
    def secrets_file(self) -> Path:
        return self.path / "secrets.json"

    @property
    def cluster_file(self) -> Path:
        return self.path / CLUSTER_FILE

    @property
    def logins_file(self) -> Path:
        return self.path / LOGINS_FILE

    @property
    def lock_file(self) -> Path:
        return self.path / "up.lock"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def redis(self) -> Path:
        return self.path / "redis"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def log(self, name: str) -> Path:
        """The log file of the process ``name``."""
        return self.logs / f"{name}.log"

    def exists(self) -> bool:
        """Whether there is a home in this folder.

        :raises HomeError: the folder belongs to another user.
        """
        with home_errors(self.path):
            if not self.path.is_dir():
                return False
            self._check_owner()
            return (self.path / _MARKER).exists()

    def prepare(self) -> None:
        """Make the folder a home, or check that it is one.

        :raises HomeError: it is a file, belongs to another user, contains other things, or cannot be written.
        """
        with home_errors(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_owner()
            self._check_marker()
            self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            for folder in (self.run, self.redis, self.store, self.logs):
                folder.mkdir(mode=0o700, exist_ok=True)

    def load_secrets(self) -> Secrets:
        """:raises HomeError: the file is missing or damaged."""
        try:
            with home_errors(self.secrets_file):
                return Secrets(**json.loads(self.secrets_file.read_text()))
        except (ValueError, TypeError, RecursionError):
            raise HomeError(f"{self.secrets_file} is damaged; restore it from a backup") from None

    def ensure_secrets(self) -> Secrets:
        """The passwords, generated if this home is new.

        :raises HomeError: the file is damaged, or it is missing although the database exists.
        """
        if self.secrets_file.exists():
            with home_errors(self.secrets_file):
                self.secrets_file.chmod(0o600)
            return self.load_secrets()
        if (self.postgres / "PG_VERSION").exists():
            raise HomeError(f"{self.secrets_file} is gone, and {self.postgres} opens with it only; restore it")
        generated = Secrets(*(secrets.token_urlsafe(32) for _ in range(3)))
        with home_errors(self.secrets_file):
            write_private(self.secrets_file, json.dumps(asdict(generated)))
        return generated

    def _check_owner(self) -> None:
        owner = self.path.stat().st_uid
        if owner != os.geteuid():
            raise HomeError(
                f"{self.path} belongs to user {owner} and you are user {os.geteuid()}; "
                "choose a home of your own with --home or LONGSHORE_HOME"
            )

    def _check_marker(self) -> None:
        marker = self.path / _MARKER
        if marker.exists():
            layout = marker.read_text().strip()
            if layout not in ("", _LAYOUT):  # empty: the first `up` was stopped in the middle of writing it
                raise HomeError(f"{self.path} was made by a newer Longshore (layout {layout}); upgrade this one")
            return
        # `up` changes modes and owners in here, so a folder with other content never becomes a home.
        others = sorted(entry.name for entry in self.path.iterdir() if entry.name != "lost+found")
        if others:
            raise HomeError(
                f"{self.path} is no Longshore home and holds other things ({others[0]}, ...); "
                "choose a new or an empty folder with --home or LONGSHORE_HOME"
            )
        marker.write_text(_LAYOUT + "\n")
