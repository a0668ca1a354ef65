"""``longshore df``, ``clean``, ``results prune`` and ``store sweep``: what takes space, and freeing it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.options import Options, shared_options, with_options
from longshore.producers.cli.output import note, print_fields, print_json

if TYPE_CHECKING:
    from longshore.shared.ledger.retention.removal import Pruned

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
    help="Also remove the results, logs, inline rows and checkpoints of jobs that have ended longer ago, such as "
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
        if is_asking:
            plan = client.clean(older_than, grace=grace, dry_run=True)
            print_plan(plan)
            if plan.is_empty:
                return
            if not click.confirm("Remove this?", err=True):
                note("nothing was removed")
                return
        cleaned = client.clean(older_than, grace=grace, dry_run=dry_run)
    if options.as_json:
        print_json(cleaned_document(cleaned))
        return
    if not is_asking:  # nobody has seen it yet
        print_plan(cleaned)
    if not (dry_run or cleaned.is_empty):
        print_cleaned(cleaned)


@click.command()
@click.option(
    "--older-than", required=True, metavar="AGE", help="Minimum time since the end of a job, such as 30d, 12h or 2w."
)
@click.option("--dry-run", is_flag=True, help="Only print what would be removed.")
@with_options
def prune(options: Options, older_than: str, dry_run: bool) -> None:
    """Remove the results, row errors, logs and inline rows of old jobs. The jobs themselves stay."""
    with connected(options) as client:
        pruned = client.prune(older_than, dry_run=dry_run)
    if options.as_json:
        from longshore.producers.cli.views.clean_tables import pruned_document

        print_json(pruned_document(pruned))
    else:
        _print_pruned(pruned)


@click.group(invoke_without_command=True)
@shared_options
@click.pass_context
def store(context: click.Context) -> None:
    """Maintain the store of models and large inputs."""
    if context.invoked_subcommand is None:
        raise click.UsageError(f"missing command, one of: {', '.join(store.commands)}", context)


@store.command("sweep")
@click.option("--grace", default="1d", show_default=True, metavar="AGE", help="Keep blobs that are younger than this.")
@click.option("--dry-run", is_flag=True, help="Only print what would be removed.")
@with_options
def sweep_store(options: Options, grace: str, dry_run: bool) -> None:
    """Remove unused blobs: those that no version, unfinished job or inline rows refer to.

    Only run this if no other cluster uses the store.
    """
    with connected(options) as client:
        swept = client.sweep_store(grace, dry_run=dry_run)
    if options.as_json:
        blobs = [{"digest": blob.digest, "size": blob.size} for blob in swept.blobs]
        print_json({"dry_run": dry_run, "before": swept.before, "size": swept.size, "blobs": blobs})
        return
    from longshore.producers.reporting.human import size_text

    label = "would be removed" if dry_run else "removed"
    print_fields({label: f"{len(swept.blobs):,} blobs, {size_text(swept.size)}"})


def _print_pruned(pruned: Pruned) -> None:
    from longshore.producers.reporting.human import local_time

    print_fields(
        {
            "ended before": local_time(pruned.cut),
            "jobs": f"{pruned.jobs:,} {'would be pruned' if pruned.dry_run else 'pruned'}",
            "dropped": ", ".join(pruned.dropped),
            "emptied": ", ".join(pruned.emptied),
            "inline rows": f"{pruned.inputs:,} blocks",
            "blobs": f"{len(pruned.blobs):,}",
        }
    )
    for name, jobs in pruned.kept.items():
        note(f"{name} is kept: it contains {jobs:,} jobs that have not ended, or not long enough ago")
    if pruned.emptied:
        note("emptied partitions could not be dropped while results are being written; the next prune tries again")
