"""``longshore df`` and ``longshore clean``: what takes space, and freeing it."""

from __future__ import annotations

import sys

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import note, print_json

#: How many models and jobs are listed by default.
DEFAULT_TOP = 10


@click.command()
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=DEFAULT_TOP,
    show_default=True,
    metavar="N",
    help="How many models and jobs to list, the largest first.",
)
@with_options
def df(options: Options, top: int) -> None:
    """Show how much space the store and the database take, and which models and jobs take most."""
    with connected(options) as client:
        usage = client.disk_usage(top)
    from longshore.producers.cli.views.space_tables import print_usage, usage_document

    if options.as_json:
        print_json(usage_document(usage))
    else:
        print_usage(usage)


@click.command()
@click.option(
    "--older-than",
    metavar="AGE",
    help="Also remove the results, logs, inline rows and checkpoints of jobs that were submitted longer ago, such as "
    "30d or 12w. Default: no job is old.",
)
@click.option("--grace", default="1d", show_default=True, metavar="AGE", help="Keep files that are younger than this.")
@click.option("--dry-run", is_flag=True, help="Only print what would be removed.")
@click.option("--yes", "-y", is_flag=True, help="Remove it without a question.")
@with_options
def clean(options: Options, older_than: str | None, grace: str, dry_run: bool, yes: bool) -> None:
    """Free space: remove what nothing uses, and what old jobs have left. Jobs and versions stay.

    It prints what it would remove, and asks. Only run this if no other cluster uses the store.
    """
    is_asking = not (yes or dry_run)
    if is_asking and (options.as_json or not sys.stdin.isatty()):
        raise click.UsageError("nobody can be asked here; give --yes to remove, or --dry-run to look")
    from longshore.producers.cli.views.clean_tables import cleaned_document, print_cleaned, print_plan

    with connected(options) as client:
        if not options.as_json:
            plan = client.clean(older_than, grace=grace, dry_run=True)
            print_plan(plan)
            if dry_run or plan.is_empty:
                return
            if is_asking and not click.confirm("Remove this?", err=True):
                note("nothing was removed")
                return
        cleaned = client.clean(older_than, grace=grace, dry_run=dry_run)
    if options.as_json:
        print_json(cleaned_document(cleaned))
    else:
        print_cleaned(cleaned)
