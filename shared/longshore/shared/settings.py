"""The addresses of a cluster, read once at the edge and then passed on.

A cluster has three addresses. They come, in this order, from arguments, from ``LONGSHORE_REDIS_URL``,
``LONGSHORE_DATABASE_URL`` and ``LONGSHORE_STORE``, or from the home that is up (``cluster.json`` in the home folder,
which ``longshore up`` writes and only its owner can read). Postgres has a login for each kind of process; that of a
producer is in ``cluster.json``, and those of the others are in ``logins.json`` beside it.

The password of an address from the environment can be in a separate file, named by ``LONGSHORE_REDIS_PASSWORD_FILE``
or ``LONGSHORE_DATABASE_PASSWORD_FILE``.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from longshore.shared.errors import HomeError, InvalidInput, NoCluster
from longshore.shared.limits import check_producer
from longshore.shared.passwords import add_password

#: The file in a home folder with the addresses of its services, while they are up.
CLUSTER_FILE = "cluster.json"
#: The file beside it with the address of Postgres for each other kind of process.
LOGINS_FILE = "logins.json"

_ADDRESSES = {
    "redis_url": "LONGSHORE_REDIS_URL",
    "database_url": "LONGSHORE_DATABASE_URL",
    "store": "LONGSHORE_STORE",
}
_PASSWORD_FILES = {
    "redis_url": "LONGSHORE_REDIS_PASSWORD_FILE",
    "database_url": "LONGSHORE_DATABASE_PASSWORD_FILE",
}


class Process(StrEnum):
    """A kind of process; each has its own login to the Postgres of a home."""

    #: Submits and reads jobs: a client, the command line.
    PRODUCER = "producer"
    #: Workers and the relay.
    SERVICES = "services"
    #: The HTTP gateway.
    GATEWAY = "gateway"
    #: Flower.
    MONITOR = "monitor"
    #: Migrates.
    OWNER = "owner"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The addresses of one cluster, and the name of its user.

    The addresses can contain passwords, so ``repr`` does not show them.
    """

    redis_url: str = field(repr=False)
    database_url: str = field(repr=False)
    store: str = field(repr=False)
    producer: str
    home: Path | None = None

    def environment(self) -> dict[str, str]:
        """Environment variables for a child process, which pass the addresses. Passwords are never in arguments."""
        variables = {
            "LONGSHORE_REDIS_URL": self.redis_url,
            "LONGSHORE_DATABASE_URL": self.database_url,
            "LONGSHORE_STORE": self.store,
            "LONGSHORE_PRODUCER": self.producer,
            # The addresses include the passwords already, so the child must not read the files.
            **dict.fromkeys(_PASSWORD_FILES.values(), ""),
        }
        return variables if self.home is None else {**variables, "LONGSHORE_HOME": str(self.home)}


def load_settings(
    *,
    redis_url: str | None = None,
    database_url: str | None = None,
    store: str | None = None,
    producer: str | None = None,
    home: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] = os.environ,
    process: Process = Process.PRODUCER,
) -> Settings:
    """Find the addresses of the cluster.

    :param redis_url: the address of Redis; ``database_url`` and ``store`` likewise. Default: from the environment.
    :param producer: the name of the submitting user. Default: ``LONGSHORE_PRODUCER``, or ``user@host``.
    :param home: a home folder. If it is given, the addresses in the environment are ignored.
    :param environ: the environment variables. Default: those of this process.
    :param process: which login to use if the addresses are those of a home. Default: a producer's.
    :raises NoCluster: there are no addresses, and no home is up.
    :raises InvalidInput: only some of the three addresses are set, a password file cannot be used, or the name of the
        producer is too long.
    :raises HomeError: the home belongs to another user, or its ``cluster.json`` is damaged.
    """
    producer = check_producer(producer or environ.get("LONGSHORE_PRODUCER") or default_producer())
    arguments = {"redis_url": redis_url, "database_url": database_url, "store": store}
    if home is None:
        arguments = {key: value or _from_environment(key, environ) for key, value in arguments.items()}
    addresses = {key: value for key, value in arguments.items() if value}
    if len(addresses) == len(_ADDRESSES):
        home_variable = environ.get("LONGSHORE_HOME")
        return Settings(**addresses, producer=producer, home=Path(home_variable) if home_variable else None)
    if addresses:
        missing = [key for key in _ADDRESSES if key not in addresses]
        raise InvalidInput(
            missing[0],
            f"not set, though {', '.join(addresses)} is; give all of {', '.join(_ADDRESSES.values())}, "
            "or none of them to use the home that is up",
        )
    folder = home_folder(home, environ)
    addresses = {**_read_cluster(folder), **_read_login(folder, process)}
    return Settings(**addresses, producer=producer, home=folder)


def home_folder(home: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The home folder: ``home`` if it is given, otherwise ``LONGSHORE_HOME``, otherwise the default.

    The default is ``longshore`` in the user's data folder. For root it is ``/var/lib/longshore``: Postgres then runs as
    another user, who must be able to access the folder without access to root's own home.
    """
    chosen = home or environ.get("LONGSHORE_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/longshore")
    import platformdirs

    return Path(platformdirs.user_data_dir("longshore"))


def default_producer() -> str:
    """The default name of the submitting user: ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _from_environment(key: str, environ: Mapping[str, str]) -> str | None:
    url = environ.get(_ADDRESSES[key])
    file_name = _PASSWORD_FILES.get(key, "")
    file = environ.get(file_name)
    if not url or not file:
        return url
    return add_password(url, file, url_name=_ADDRESSES[key], file_name=file_name)


def _read_cluster(home: Path) -> dict[str, str]:
    path = home / CLUSTER_FILE
    content = _read_json(path)
    try:
        return {key: str(content[key]) for key in _ADDRESSES}
    except KeyError:
        raise _damaged(path) from None


def _read_login(home: Path, process: Process) -> dict[str, str]:
    """The address of Postgres for a kind of process; empty if it is the one in the other file."""
    path = home / LOGINS_FILE
    # An `up` of an older release has one login for all.
    if process is Process.PRODUCER or not path.exists():
        return {}
    try:
        return {"database_url": str(_read_json(path)[process])}
    except KeyError:
        raise _damaged(path) from None


def _read_json(path: Path) -> dict[str, object]:
    """:raises HomeError: the file belongs to another user, or is damaged.
    :raises NoCluster: it is not there.
    """
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        raise NoCluster(
            f"no cluster is up in {path.parent}; start one with `longshore up`, or set {', '.join(_ADDRESSES.values())}"
        ) from None
    except PermissionError:
        raise HomeError(
            f"{path} belongs to another user; use --home or LONGSHORE_HOME for a home of your own"
        ) from None
    except OSError as error:
        raise HomeError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError, RecursionError):
        raise _damaged(path) from None


def _damaged(path: Path) -> HomeError:
    return HomeError(
        f"{path} is damaged; run `longshore down --home {path.parent}` and `longshore up` to write it again"
    )
