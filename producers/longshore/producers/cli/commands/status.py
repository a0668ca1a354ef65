"""``longshore status``: the services, the workers and the number of jobs; and ``top``: what they do now, live."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING
from uuid import UUID

import click

from longshore.producers.cli.connect import find_settings, open_ledger
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import clean, print_fields, print_json, print_table, terminal_width
from longshore.producers.cli.table_layout import TableColumn
from longshore.producers.cli.views.addresses import FLOWER_USER, address_fields
from longshore.shared.errors import InvalidInput, LongshoreError, NoCluster
from longshore.shared.settings import Settings, home_folder, load_settings

if TYPE_CHECKING:
    from longshore.broker.embedded.report import ProcessStatus, Status
    from longshore.producers.reporting.activity.devices import DeviceWork

_GETTING_STARTED = """\
No cluster is up in {home}.

  longshore up       start Redis, Postgres and a worker on this machine (--detach: in the background)
  longshore demo     train and use a model on real data, in about a minute
  longshore --help   list all commands

To use another cluster, set LONGSHORE_REDIS_URL, LONGSHORE_DATABASE_URL and LONGSHORE_STORE.
"""


@click.command()
@click.option("--show-password", is_flag=True, help="Print only the password of Flower.")
@with_options
def status(options: Options, show_password: bool) -> None:
    """Show the services and their addresses, the workers, and the number of jobs by state."""
    settings = find_settings(options)
    if show_password:
        _print_password(options, settings)
    else:
        _print_status(options, settings)


def overview(options: Options) -> None:
    """The output of ``longshore`` without a command: the status, or how to start if there is no cluster."""
    try:
        settings = find_settings(options)
    except NoCluster:
        home = home_folder(options.home)
        if options.as_json:
            print_json({"running": False, "home": home})
        else:
            sys.stdout.write(_GETTING_STARTED.format(home=home))
        return
    _print_status(options, settings)


def _print_status(options: Options, settings: Settings) -> None:
    home = _read_home(settings)
    document = _addresses(settings) if home is None else address_fields(home)
    services = () if home is None else home.processes
    if not options.as_json:
        # Printed before the query to Postgres: its address matters most when it cannot be reached.
        print_fields(document)
        sys.stdout.write("\n")
        if services:
            _print_services(services)
    from longshore.producers.cli.views import device_table

    try:
        devices, counts, ids = _query_ledger(settings)
    except LongshoreError as error:
        if options.as_json:
            unknown = {"services": services, "workers": None, "jobs": None, "error": str(error)}
            print_json({"running": True, "ready": False, **document, **unknown})
        raise
    last_lines = device_table.last_lines(devices, None if home is None else home.home)
    if options.as_json:
        ready = home.ready if home else True
        workers = [device_table.device_document(each, last_lines.get(each.worker.name)) for each in devices]
        print_json(
            {"running": True, "ready": ready, **document, "services": services, "workers": workers, "jobs": counts}
        )
        return
    _print_workers(devices, ids, last_lines)
    if home is not None and not any(each.worker.alive for each in devices) and not last_lines:
        # A worker that has never been ready is not in the ledger.
        _print_last_line("workers", device_table.last_line(home.home))
    sys.stdout.write("\n")
    if counts:
        print_table(("JOBS", "COUNT"), sorted(counts.items()))
    else:
        sys.stdout.write("no jobs yet\n")


def _print_workers(devices: Sequence[DeviceWork], ids: Mapping[UUID, str], last_lines: Mapping[str, str]) -> None:
    """Print the workers and what they do. Of the silent ones, only those last seen."""
    if not devices:
        sys.stdout.write("no workers\n")
        return
    from longshore.producers.cli.views import device_table

    shown = device_table.shown_devices(devices)
    print_table(device_table.DEVICE_COLUMNS, [device_table.device_row(each, ids) for each in shown])
    if (hidden := device_table.hidden_text(devices)) is not None:
        sys.stdout.write(f"{hidden}\n")
    for name in [each.worker.name for each in shown if each.worker.name in last_lines][:1]:
        _print_last_line(name, last_lines[name])


def _print_services(services: Sequence[ProcessStatus]) -> None:
    rows = [(service.name, service.pid, "alive" if service.alive else "dead") for service in services]
    print_table((TableColumn("SERVICE", min_width=20), TableColumn("PID", 1), TableColumn("STATE")), rows)
    for service in services:
        if not service.alive:
            _print_last_line(service.name, service.last_line)
    sys.stdout.write("\n")


def _print_last_line(name: str, line: str | None) -> None:
    if line is not None:
        sys.stdout.write(f"the log of {name} ends: {clean(line)}\n")


def _query_ledger(settings: Settings) -> tuple[list[DeviceWork], dict[str, int], dict[UUID, str]]:
    """The workers and what they do, the number of jobs by state, and on a terminal the short ids of jobs."""
    from longshore.producers.cli.views.device_table import shortened
    from longshore.producers.reporting.activity.devices import read_devices

    with open_ledger(settings) as ledger:
        devices = read_devices(ledger)
        ids = shortened(ledger, devices) if sys.stdout.isatty() else {}
        return devices, ledger.queries.count_jobs(), ids


def _print_password(options: Options, settings: Settings) -> None:
    if settings.home is None:
        raise InvalidInput(
            "--show-password",
            "this cluster has no home on this machine, so the password of its Flower is not stored here",
        )
    from longshore.broker.embedded.home import Home

    password = Home(settings.home).load_secrets().flower_password
    if options.as_json:
        print_json({"flower_user": FLOWER_USER, "flower_password": password})
    else:
        sys.stdout.write(f"{password}\n")


def _read_home(settings: Settings) -> Status | None:
    """The status of the home with these addresses; ``None`` if there is none, or ``embedded`` is not installed."""
    if settings.home is None or find_spec("psutil") is None:
        return None
    try:
        up = load_settings(home=settings.home)
    except LongshoreError:
        return None  # the home is not up or belongs to another user; the addresses come from elsewhere
    if up.database_url != settings.database_url:
        return None
    from longshore.broker.embedded.report import read_status

    return read_status(settings.home)


def _addresses(settings: Settings) -> dict[str, object]:
    from longshore.broker.redis_address import parse_redis_url
    from longshore.shared.ledger.database import Database
    from longshore.shared.store.address import public

    fields = {
        "home": settings.home,
        "redis": parse_redis_url(settings.redis_url).location,
        "postgres": Database(settings.database_url).address,
        "store": public(settings.store),
    }
    return {name: value for name, value in fields.items() if value is not None}


@click.command()
@click.option("--once", is_flag=True, help="Print it once and end; so it does with --json, and in a pipe.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between two looks.",
)
@with_options
def top(options: Options, once: bool, interval: float) -> None:
    """Show what each device does, the jobs that come next, and how many jobs run and wait, until Ctrl-C."""
    with open_ledger(find_settings(options)) as ledger:
        from longshore.producers.cli.views.device_table import shortened
        from longshore.producers.cli.views.top_view import overview_document, overview_lines, show_live
        from longshore.producers.reporting.activity.overview import read_overview

        if options.as_json:
            print_json(overview_document(read_overview(ledger)))
        elif sys.stdout.isatty() and not once:
            show_live(ledger, interval)
        else:
            overview, is_terminal = read_overview(ledger), sys.stdout.isatty()
            ids = shortened(ledger, overview.devices, overview.next) if is_terminal else {}
            width = terminal_width() if is_terminal else None
            sys.stdout.writelines(f"{line}\n" for line in overview_lines(overview, ids, width))
