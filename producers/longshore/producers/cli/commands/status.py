"""``longshore status``: what runs, who works, and how many jobs there are."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from longshore.producers.cli.connect import find_settings, open_ledger
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import print_fields, print_json, print_table
from longshore.producers.cli.views.addresses import FLOWER_USER, places
from longshore.shared.errors import InvalidInput, LongshoreError, NoCluster
from longshore.shared.settings import Settings, home_folder, load_settings

if TYPE_CHECKING:
    from longshore.broker.embedded.report import Status
    from longshore.shared.ledger.records import WorkerRecord

_NEXT = """\
No cluster is up in {home}.

  longshore up       start Redis, Postgres and a worker here, and stay until Ctrl-C (--detach: in the background)
  longshore demo     see it train and use a model on real data, in about a minute
  longshore --help   everything else

To use a cluster elsewhere, set LONGSHORE_REDIS_URL, LONGSHORE_DATABASE_URL and LONGSHORE_STORE.
"""


@click.command()
@click.option("--show-password", is_flag=True, help="Print the password of Flower, and nothing else.")
@with_options
def status(options: Options, show_password: bool) -> None:
    """Show the services and where they listen, the workers, and how many jobs are in which state."""
    settings = find_settings(options)
    if show_password:
        _print_password(options, settings)
    else:
        _print_status(options, settings)


def overview(options: Options) -> None:
    """What ``longshore`` alone says: the status, or what to do where there is no cluster."""
    try:
        settings = find_settings(options)
    except NoCluster:
        home = home_folder(options.home)
        if options.as_json:
            print_json({"running": False, "home": home})
        else:
            sys.stdout.write(_NEXT.format(home=home))
        return
    _print_status(options, settings)


def _print_status(options: Options, settings: Settings) -> None:
    home = _read_home(settings)
    document = _addresses(settings) if home is None else places(home)
    services = () if home is None else home.processes
    if not options.as_json:
        # Before Postgres is asked: where it should be matters most when it cannot be reached.
        print_fields(document)
        sys.stdout.write("\n")
        if services:
            rows = [(each.name, each.pid, "alive" if each.alive else "dead") for each in services]
            print_table(("SERVICE", "PID", "STATE"), rows)
            sys.stdout.write("\n")
    workers, counts = _ask(settings)
    if options.as_json:
        ready = home.ready if home else True
        print_json(
            {"running": True, "ready": ready, **document, "services": services, "workers": workers, "jobs": counts}
        )
        return
    found = [(each.name, each.device, each.queue, "alive" if each.alive else "silent") for each in workers]
    if found:
        print_table(("WORKER", "DEVICE", "QUEUE", "STATE"), found)
    else:
        sys.stdout.write("no workers\n")
    sys.stdout.write("\n")
    if counts:
        print_table(("JOBS", "COUNT"), sorted(counts.items()))
    else:
        sys.stdout.write("no jobs yet\n")


def _ask(settings: Settings) -> tuple[list[WorkerRecord], dict[str, int]]:
    """The workers, and how many jobs are in which state."""
    with open_ledger(settings) as ledger:
        return ledger.workers.workers(), ledger.queries.count_jobs()


def _print_password(options: Options, settings: Settings) -> None:
    if settings.home is None:
        raise InvalidInput(
            "--show-password", "this cluster has no home here; its Flower was given a password elsewhere"
        )
    from longshore.broker.embedded.home import Home

    password = Home(settings.home).load_secrets().flower_password
    if options.as_json:
        print_json({"flower_user": FLOWER_USER, "flower_password": password})
    else:
        sys.stdout.write(f"{password}\n")


def _read_home(settings: Settings) -> Status | None:
    """The home whose addresses these are, where the extra ``embedded`` is there to look at its processes."""
    if settings.home is None or find_spec("psutil") is None:
        return None
    try:
        up = load_settings(home=settings.home)
    except LongshoreError:
        return None  # LONGSHORE_HOME names a home that is not up, or is another user's; the addresses are others
    if up.database_url != settings.database_url:
        return None
    from longshore.broker.embedded.report import read_status

    return read_status(settings.home)


def _addresses(settings: Settings) -> dict[str, object]:
    from urllib.parse import urlsplit

    from longshore.shared.ledger.database import Database
    from longshore.shared.store.address import public

    redis = urlsplit(settings.redis_url)
    found = {
        "home": settings.home,
        "redis": f"{redis.hostname or 'localhost'}:{redis.port or 6379}",
        "postgres": Database(settings.database_url).address,
        "store": public(settings.store),
    }
    return {name: value for name, value in found.items() if value is not None}
