"""Which ports the services listen on. Always on loopback, and never one that somebody else has."""

from __future__ import annotations

import errno
import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from longshore.broker.embedded.files import home_errors, write_private
from longshore.shared.errors import HomeError, InvalidInput

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The port of each service on 127.0.0.1."""

    redis: int
    postgres: int
    flower: int


def check_numbers(*, redis: int | None, postgres: int | None, flower: int | None) -> None:
    """:raises InvalidInput: one is no port, or two are the same."""
    given = [
        (name, port)
        for name, port in (("redis", redis), ("postgres", postgres), ("flower", flower))
        if port is not None
    ]
    for name, port in given:
        if not 1 <= port <= 65535:
            raise InvalidInput(f"--{name}-port", f"{port} is no port; give one from 1 to 65535")
        if [other for _, other in given].count(port) > 1:
            raise InvalidInput(f"--{name}-port", f"{port} is given twice; give each service its own")


def choose_ports(file: Path, *, redis: int | None, postgres: int | None, flower: int | None) -> Ports:
    """Take the ports that are given, else the last ones of this home, else free ones; and remember them in ``file``.

    :raises HomeError: a given port is taken.
    """
    given = {"redis": redis, "postgres": postgres, "flower": flower}
    chosen = {name: port for name, port in given.items() if port is not None}
    for name, port in chosen.items():
        _check_given(f"--{name}-port", port)
    for name, port in _last(file).items():
        if name not in chosen and port not in chosen.values() and is_free(port):
            chosen[name] = port
    while len(chosen) < len(given):
        missing = next(name for name in given if name not in chosen)
        port = any_free_port()
        if port not in chosen.values():
            chosen[missing] = port
    ports = Ports(**chosen)
    remember(file, ports)
    return ports


def remember(file: Path, ports: Ports) -> None:
    """Keep the ports for the next time, so that addresses written down elsewhere stay right."""
    with home_errors(file):
        write_private(file, json.dumps(asdict(ports)))


def is_free(port: int) -> bool:
    """Whether one can listen on a loopback port now."""
    return _trouble(port) is None


def any_free_port() -> int:
    """A loopback port nobody listens on now. Somebody else can still take it before it is used."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _check_given(option: str, port: int) -> None:
    trouble = _trouble(port)
    if trouble == errno.EADDRINUSE:
        raise HomeError(f"{option}: {port} is taken by another process; give another, or none to have one chosen")
    if trouble is not None:
        raise HomeError(f"{option}: this user may not listen on {port}; give one from 1024 on")


def _trouble(port: int) -> int | None:
    with socket.socket() as probe:
        # As the servers do: connections that are just closing do not keep a port from being used again.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return error.errno
    return None


def _last(file: Path) -> dict[str, int]:
    try:
        content = json.loads(file.read_text())
        return {name: int(content[name]) for name in ("redis", "postgres", "flower")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # a convenience only: without it, new ports are chosen
