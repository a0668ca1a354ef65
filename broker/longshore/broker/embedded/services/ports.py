"""The ports that the services listen on: always on loopback, and never one that another process uses."""

from __future__ import annotations

import errno
import json
import socket
from dataclasses import asdict, dataclass, fields
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
    gateway: int


def check_numbers(*, redis: int | None, postgres: int | None, flower: int | None, gateway: int | None) -> None:
    """:raises InvalidInput: a port is out of range, or two are equal."""
    options = {"redis": redis, "postgres": postgres, "flower": flower, "gateway": gateway}
    chosen = [(name, port) for name, port in options.items() if port is not None]
    for name, port in chosen:
        if not 1 <= port <= 65535:
            raise InvalidInput(f"--{name}-port", f"{port} is no port; give one from 1 to 65535")
        if [other for _, other in chosen].count(port) > 1:
            raise InvalidInput(f"--{name}-port", f"{port} is given twice; give each service its own")


def choose_ports(
    file: Path, *, redis: int | None, postgres: int | None, flower: int | None, gateway: int | None
) -> Ports:
    """Take the ports in the arguments, or else the last ones of this home, or else free ones. Save them in ``file``.

    :raises HomeError: a port in the arguments is taken.
    """
    options = {"redis": redis, "postgres": postgres, "flower": flower, "gateway": gateway}
    chosen = {name: port for name, port in options.items() if port is not None}
    for name, port in chosen.items():
        _check_free(f"--{name}-port", port)
    for name, port in _last(file).items():
        if name not in chosen and port not in chosen.values() and is_free(port):
            chosen[name] = port
    while len(chosen) < len(options):
        missing = next(name for name in options if name not in chosen)
        port = any_free_port()
        if port not in chosen.values():
            chosen[missing] = port
    ports = Ports(**chosen)
    save_ports(file, ports)
    return ports


def save_ports(file: Path, ports: Ports) -> None:
    """Save the ports for the next ``up``, so that addresses written elsewhere stay valid."""
    with home_errors(file):
        write_private(file, json.dumps(asdict(ports)))


def is_free(port: int) -> bool:
    """Whether a loopback port can be listened on now."""
    return _bind_error(port) is None


def any_free_port() -> int:
    """A free loopback port. Another process can still take it before it is used."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _check_free(option: str, port: int) -> None:
    error = _bind_error(port)
    if error == errno.EADDRINUSE:
        raise HomeError(f"{option}: {port} is taken by another process; give another, or none to have one chosen")
    if error is not None:
        raise HomeError(f"{option}: this user may not listen on {port}; give one from 1024 on")


def _bind_error(port: int) -> int | None:
    with socket.socket() as probe:
        # As the servers do: connections that are closing do not block a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return error.errno
    return None


def _last(file: Path) -> dict[str, int]:
    try:
        content = json.loads(file.read_text())
        # An `up` of an older release has saved fewer of them.
        return {each.name: int(content[each.name]) for each in fields(Ports) if each.name in content}
    except (OSError, ValueError, TypeError, RecursionError):
        return {}  # without the file, new ports are chosen
