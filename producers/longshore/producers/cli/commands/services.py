"""``longshore up`` and ``longshore down``: the cluster of one machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import print_fields, print_json
from longshore.producers.cli.views.addresses import in_home, places
from longshore.shared.settings import home_folder

if TYPE_CHECKING:
    from longshore.broker.embedded.report import Status


@click.command()
@click.option(
    "--devices",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cpu:N|cuda:I,...",
    help="Which devices get a worker.",
)
@click.option("--redis-port", type=int, metavar="PORT", help="Default: the last one, or any that is free.")
@click.option("--postgres-port", type=int, metavar="PORT", help="As for Redis.")
@click.option("--flower-port", type=int, metavar="PORT", help="As for Redis.")
@click.option("--no-flower", is_flag=True, help="Do without Flower.")
@click.option("--detach", is_flag=True, help="Return when everything listens; `longshore down` stops it.")
@with_options
def up(
    options: Options,
    devices: str,
    redis_port: int | None,
    postgres_port: int | None,
    flower_port: int | None,
    no_flower: bool,
    detach: bool,
) -> None:
    """Start Redis, Postgres, the relay, a worker on each device, and Flower, in the home folder.

    It stays until Ctrl-C and then stops everything; what the home holds is kept.
    """
    from longshore.broker import embedded

    home = home_folder(options.home)

    def ready(status: Status) -> None:
        if options.as_json:
            print_json(places(status))
        else:
            _say_ready(home, status, detach)
        sys.stdout.flush()

    embedded.up(
        home,
        devices=devices,
        redis_port=redis_port,
        postgres_port=postgres_port,
        flower_port=flower_port,
        flower=not no_flower,
        detach=detach,
        output=sys.stderr,
        on_ready=ready,
    )


@click.command()
@with_options
def down(options: Options) -> None:
    """Stop everything that runs in the home folder; what it holds is kept."""
    from longshore.broker import embedded

    home = home_folder(options.home)
    stopped = embedded.down(home)
    if options.as_json:
        print_json({"home": home, "stopped": stopped})
    else:
        sys.stdout.write(f"stopped what ran in {home}\n" if stopped else f"nothing runs in {home}\n")


def _say_ready(home: Path, status: Status, detach: bool) -> None:
    sys.stdout.write("Longshore is up.\n\n")
    print_fields(places(status))
    sys.stdout.write("\n")
    if status.flower_url:
        sys.stdout.write(f"Flower's password:  {in_home(home, 'longshore status --show-password')}\n")
    sys.stdout.write(f"A first job:        {in_home(home, 'longshore train DATA --model NAME --target COLUMN')}\n")
    sys.stdout.write(f"Stop everything:    {in_home(home, 'longshore down') if detach else 'Ctrl-C'}\n")
