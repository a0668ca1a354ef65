"""``longshore results prune`` and ``longshore store sweep``: freeing space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.options import Options, shared_options, with_options
from longshore.producers.cli.output import note, print_fields, print_json

if TYPE_CHECKING:
    from longshore.shared.ledger.retention.removal import Pruned


@click.command()
@click.option(
    "--older-than", required=True, metavar="AGE", help="Minimum age since submission, such as 30d, 12h or 2w."
)
@click.option("--dry-run", is_flag=True, help="Only print what would be removed.")
@with_options
def prune(options: Options, older_than: str, dry_run: bool) -> None:
    """Remove the results, row errors, logs and inline rows of old jobs. The jobs themselves stay."""
    with connected(options) as client:
        pruned = client.prune(older_than, dry_run=dry_run)
    if options.as_json:
        from longshore.producers.cli.views.json_documents import pruned_document

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
            "submitted before": local_time(pruned.cut),
            "jobs": f"{pruned.jobs:,} {'would be pruned' if pruned.dry_run else 'pruned'}",
            "dropped": ", ".join(pruned.dropped),
            "emptied": ", ".join(pruned.emptied),
            "inline rows": f"{pruned.inputs:,} blocks",
            "blobs": f"{len(pruned.blobs):,}",
        }
    )
    for name, jobs in pruned.kept.items():
        note(f"{name} is kept: it contains {jobs:,} jobs that have not ended")
    if pruned.emptied:
        note("emptied partitions could not be dropped while results are being written; the next prune tries again")
