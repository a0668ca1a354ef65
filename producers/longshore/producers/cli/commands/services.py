"""``longshore up`` and ``longshore down``: a cluster on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import note, print_fields, print_json
from longshore.producers.cli.views.addresses import address_fields, in_home
from longshore.shared.settings import home_folder

if TYPE_CHECKING:
    from longshore.broker.embedded.report import Status


@click.command()
@click.option(
    "--devices",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cpu:N|cuda:I,...",
    help="Devices that get a worker.",
)
@click.option("--redis-port", type=int, metavar="PORT", help="Default: the previous port, or a free one.")
@click.option("--postgres-port", type=int, metavar="PORT", help="As for --redis-port.")
@click.option("--flower-port", type=int, metavar="PORT", help="As for --redis-port.")
@click.option("--no-flower", is_flag=True, help="Do not start Flower.")
@click.option("--gateway-port", type=int, metavar="PORT", help="As for --redis-port.")
@click.option("--no-gateway", is_flag=True, help="Do not start the HTTP gateway.")
@click.option("--detach", is_flag=True, help="Run in the background. Stop it with `longshore down`.")
@with_options
def up(
    options: Options,
    devices: str,
    redis_port: int | None,
    postgres_port: int | None,
    flower_port: int | None,
    no_flower: bool,
    gateway_port: int | None,
    no_gateway: bool,
    detach: bool,
) -> None:
    """Start Redis, Postgres, the relay, one worker per device, Flower and the HTTP gateway.

    They keep their data in the home folder.

    Runs until Ctrl-C, then stops everything. The data in the home is kept.
    """
    from longshore.broker import embedded

    home = home_folder(options.home)

    def ready(status: Status) -> None:
        if options.as_json:
            if status.missing_workers:
                note(_missing_workers(home, status).rstrip())
            print_json(address_fields(status))
        else:
            _print_ready(home, status, detach)
        sys.stdout.flush()

    embedded.up(
        home,
        devices=devices,
        redis_port=redis_port,
        postgres_port=postgres_port,
        flower_port=flower_port,
        flower=not no_flower,
        gateway_port=gateway_port,
        gateway=not no_gateway,
        detach=detach,
        output=sys.stderr,
        on_ready=ready,
    )


@click.command()
@with_options
def down(options: Options) -> None:
    """Stop the cluster in the home folder. Its data is kept."""
    from longshore.broker import embedded

    home = home_folder(options.home)
    stopped = embedded.down(home)
    if options.as_json:
        print_json({"home": home, "stopped": stopped})
    else:
        sys.stdout.write(f"stopped the cluster in {home}\n" if stopped else f"no cluster is running in {home}\n")


def _missing_workers(home: Path, status: Status) -> str:
    """What to say if workers have not started."""
    from longshore.broker.embedded.home import Home
    from longshore.broker.embedded.report import last_words

    count = "1 worker has" if status.missing_workers == 1 else f"{status.missing_workers} workers have"
    words = last_words(home, "workers")
    return (
        f"Longshore is up, but {count} not started; see {Home(home).log('workers')}\n"
        + (f"  {words}\n" if words else "")
        + "\n"
    )


def _print_ready(home: Path, status: Status, detach: bool) -> None:
    sys.stdout.write("Longshore is up.\n\n" if not status.missing_workers else _missing_workers(home, status))
    print_fields(address_fields(status))
    sys.stdout.write("\n")
    if status.flower_url:
        sys.stdout.write(f"Flower's password:  {in_home(home, 'longshore status --show-password')}\n")
    if status.gateway_url:
        sys.stdout.write(
            f"A token for HTTP:   {in_home(home, 'longshore tokens create --producer NAME --scope SCOPE')}\n"
        )
    sys.stdout.write(f"A first job:        {in_home(home, 'longshore train DATA --model NAME --target COLUMN')}\n")
    sys.stdout.write(f"Stop everything:    {in_home(home, 'longshore down') if detach else 'Ctrl-C'}\n")
