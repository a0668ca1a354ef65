"""``longshore producers``: how many jobs each producer may have."""

from __future__ import annotations

import sys

import click

from longshore.producers.cli.connect import find_settings, open_ledger
from longshore.producers.cli.options import Options, shared_options, with_options
from longshore.producers.cli.output import print_json, print_table
from longshore.shared.errors import InvalidInput
from longshore.shared.settings import Process


@click.group(invoke_without_command=True)
@shared_options
@click.pass_context
def producers(context: click.Context) -> None:
    """Limit the jobs that producers may have."""
    if context.invoked_subcommand is None:
        raise click.UsageError(f"missing command, one of: {', '.join(producers.commands)}", context)


@producers.command()
@click.argument("name")
@click.option(
    "--jobs", type=click.IntRange(0, 2**31 - 1), metavar="N", help="How many jobs it may have that have not ended."
)
@click.option("--none", "no_limit", is_flag=True, help="Remove its limit.")
@with_options
def limit(options: Options, name: str, jobs: int | None, no_limit: bool) -> None:
    """Limit the jobs of the producer NAME, or of every producer without a limit of its own: '*'.

    For the owner of the tables, as `longshore migrate`. Postgres refuses what is submitted beyond the limit; jobs that
    exist stay.
    """
    if (jobs is None) is not no_limit:
        raise InvalidInput("--jobs", "write either --jobs N or --none")
    with open_ledger(find_settings(options, Process.OWNER)) as ledger:
        ledger.producer_limits.set(name, jobs)
    if options.as_json:
        print_json({"producer": name, "max_jobs": jobs})
    else:
        sys.stdout.write(f"{name}: {'no limit' if jobs is None else f'at most {jobs:,} jobs that have not ended'}\n")


@producers.command("limits")
@with_options
def list_limits(options: Options) -> None:
    """List the limits, and how many jobs each producer has that have not ended."""
    with open_ledger(find_settings(options)) as ledger:
        limits = ledger.producer_limits.list()
    if options.as_json:
        print_json(limits)
        return
    rows = [(each.producer, f"{each.max_jobs:,}", "" if each.producer == "*" else f"{each.jobs:,}") for each in limits]
    print_table(["producer", "limit", "jobs"], rows)
