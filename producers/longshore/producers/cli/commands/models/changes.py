"""``longshore models history``, ``rollback`` and ``delete``."""

from __future__ import annotations

import sys

import click

from longshore.producers.cli.completion import complete_model, complete_version
from longshore.producers.cli.connect import connected
from longshore.producers.cli.lists import HISTORY_COLUMNS, list_options, print_records, sort_records
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import note, print_json


@click.command()
@click.argument("model", shell_complete=complete_model)
@click.option("--alias", metavar="NAME", help="Only the moves of this alias.")
@list_options(HISTORY_COLUMNS, "all")
@with_options
def history(
    options: Options,
    model: str,
    alias: str | None,
    columns: tuple[str, ...] | None,
    sort: str | None,
    limit: int | None,
) -> None:
    """Show who moved which alias of a model when, and who deleted versions, newest first."""
    with connected(options) as client:
        from longshore.producers.cli.views.model_lists import change_columns
        from longshore.producers.documents.models import change_document

        changes = list(reversed(client.models.history(model, alias)))
        changes = sort_records(changes, change_columns(), sort)[:limit]
    if options.as_json:
        print_json([change_document(change) for change in changes])
        return
    print_records(changes, change_columns(), columns, sort)
    if not changes:
        note(f"nobody has moved an alias of {model}; `longshore models promote` does")


@click.command()
@click.argument("reference", metavar="MODEL[@ALIAS]", shell_complete=complete_version)
@click.option(
    "--to", type=click.IntRange(min=1), metavar="VERSION", help="Version to go back to. Default: the one before."
)
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@with_options
def rollback(options: Options, reference: str, to: int | None, dry_run: bool) -> None:
    """Move an alias back to the version that it pointed at before. Submitted jobs keep their version.

    Without @ALIAS, it is production. A second rollback undoes the first; --to goes further back.
    """
    with connected(options) as client:
        done = client.models.rollback(reference, to=to, dry_run=dry_run)
    if options.as_json:
        print_json(done)
        return
    before = "had been removed" if done.previous is None else f"pointed to {done.model}:{done.previous}"
    verb = "would point" if dry_run else "now points"
    sys.stdout.write(f"{done.model}@{done.alias} {verb} to {done.model}:{done.version}; it {before}\n")


@click.command()
@click.argument("references", nargs=-1, required=True, metavar="MODEL:VERSION...", shell_complete=complete_version)
@click.option("--force", is_flag=True, help="Also delete versions from which others were trained.")
@click.option("--dry-run", is_flag=True, help="Only print what would be deleted.")
@with_options
def delete(options: Options, references: tuple[str, ...], force: bool, dry_run: bool) -> None:
    """Delete versions, such as digits:3: all of them, or none. Their numbers are never reused.

    A version that an alias points at or that jobs use is not deleted. The results of its jobs stay, and its files stay
    in the store until `longshore clean`.
    """
    from longshore.producers.reporting.human import size_text

    with connected(options) as client:
        versions = client.models.delete(*references, force=force, dry_run=dry_run)
    if options.as_json:
        from longshore.producers.documents.models import deletion_document

        documents = [deletion_document(version, deleted=not dry_run) for version in versions]
        print_json(documents if len(documents) > 1 else documents[0])
        return
    for version in versions:
        own = (version.size_bytes or 0) - (version.shared_bytes or 0)
        done = "would be deleted" if dry_run else "deleted"
        sys.stdout.write(f"{version.model}:{version.version} {done}; {size_text(own)} that no other version has\n")
    if not dry_run:
        note("the files stay in the store for a day at least; then `longshore clean` removes them")
