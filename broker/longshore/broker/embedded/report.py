"""The status of a home, for people and programs to read: no passwords."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from longshore.broker.embedded.files import last_lines
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.lock import lock_holder
from longshore.broker.embedded.process.record import Record, Recorded

#: Lines of a log that are looked at for the reason of an end.
_LINES_OF_AN_END = 20
_SUPERVISOR = "longshore.workers.process.supervisor"


@dataclass(frozen=True)
class ProcessStatus:
    """One process of a cluster, as it was last started."""

    name: str
    pid: int
    alive: bool
    #: The last line of its log, if it is dead.
    last_line: str | None = None


@dataclass(frozen=True, kw_only=True)
class Status:
    """What runs in a home.

    :param running: an ``up`` is running in it. If not, live processes were left over by one that was killed.
    :param ready: every service listens, and jobs can be submitted.
    :param missing_workers: workers that had not started when ``up`` said that it is ready.
    :param pid: the process id of the ``up``.
    :param started_at: when every service listened, in ISO 8601 and UTC.
    :param redis: ``host:port``; ``postgres`` likewise.
    """

    home: Path
    running: bool
    ready: bool
    pid: int | None = None
    started_at: str | None = None
    processes: tuple[ProcessStatus, ...] = ()
    redis: str | None = None
    postgres: str | None = None
    store: str | None = None
    flower_url: str | None = None
    gateway_url: str | None = None
    missing_workers: int = 0


def read_status(path: Path) -> Status:
    """The status of the home at ``path``.

    :raises HomeError: the home belongs to another user.
    """
    home = Home(path)
    if not home.exists():
        return Status(home=path, running=False, ready=False)
    holder = lock_holder(home.lock_file)
    up = holder.identity.pid if holder is not None and holder.command == "up" else None
    record = Record.read(home)
    processes = tuple(_process_status(home, child) for child in (record.children if record else ()))
    cluster = _read_cluster(home.cluster_file)
    return Status(
        home=path,
        running=up is not None,
        ready=up is not None and bool(cluster),
        pid=up,
        started_at=cluster.get("started_at"),
        processes=processes,
        redis=_address(cluster.get("redis_url")),
        postgres=_address(cluster.get("database_url")),
        store=cluster.get("store"),
        flower_url=cluster.get("flower_url"),
        gateway_url=cluster.get("gateway_url"),
    )


def last_words(home: Path, name: str) -> str | None:
    """The last line in the log of a process of a home that says something of its end; ``None`` if there is none.

    The supervisor of the workers writes there, too, that it starts a worker again: that is no reason.
    """
    lines = last_lines(Home(home).log(name), _LINES_OF_AN_END).splitlines()
    reasons = [line for line in lines if f" {_SUPERVISOR}: " not in line] or lines
    return None if reasons[-1].startswith("(") else reasons[-1]


def ended_workers(home: Home, *, since_byte: int) -> bool:
    """Whether a worker of a home has ended, as the log of the workers says from this byte on."""
    try:
        with home.log("workers").open("rb") as log:
            log.seek(since_byte)
            lines = log.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return False
    return any(f" {_SUPERVISOR}: " in line and " ended with status " in line for line in lines)


def _process_status(home: Home, child: Recorded) -> ProcessStatus:
    alive = child.identity.find() is not None
    return ProcessStatus(
        child.name, child.identity.pid, alive, last_line=None if alive else last_words(home.path, child.name)
    )


def _read_cluster(file: Path) -> dict[str, str]:
    try:
        content = json.loads(file.read_text())
        return {str(key): str(value) for key, value in content.items() if value is not None}
    except (FileNotFoundError, ValueError, AttributeError, RecursionError):
        return {}


def _address(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}"
