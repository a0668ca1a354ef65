"""``longshore top``: what a cluster does now, live."""

from __future__ import annotations

import sys

import click

from longshore.producers.cli.connect import find_settings, open_ledger
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import print_json, terminal_width


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
