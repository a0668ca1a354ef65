"""The output of ``longshore clean``."""

from __future__ import annotations

from longshore.producers.cleaning import Cleaned
from longshore.producers.cli.output import note, print_fields, print_table
from longshore.producers.cli.table_layout import TableColumn
from longshore.producers.reporting.human import size_text
from longshore.shared.ledger.retention.removal import Pruned

_COLUMNS = (TableColumn("REMOVED", min_width=16), TableColumn("NUMBER"), TableColumn("SIZE", 1))


def print_plan(plan: Cleaned) -> None:
    """Print what would be removed, or was."""
    if plan.is_empty:
        note("there is nothing to remove")
    else:
        print_table(_COLUMNS, _rows(plan), hint=None)
    if plan.pruned is None:
        note("results, logs and checkpoints of jobs stay; --older-than removes old ones")
    else:
        for name, jobs in plan.pruned.kept.items():
            note(f"{name} is kept: it contains {jobs:,} jobs that have not ended, or not long enough ago")


def print_cleaned(cleaned: Cleaned) -> None:
    """Print what was freed."""
    print_fields(
        {"freed in the store": size_text(cleaned.store_bytes), "in the database": size_text(cleaned.database_bytes)}
    )
    if cleaned.pruned is not None and cleaned.pruned.jobs:
        note("Postgres keeps the space of single rows, and uses it for new ones")


def pruned_document(pruned: Pruned) -> dict[str, object]:
    """What was pruned as a JSON document."""
    return {
        "dry_run": pruned.dry_run,
        "cut": pruned.cut,
        "jobs": pruned.jobs,
        "dropped": pruned.dropped,
        "emptied": pruned.emptied,
        "kept": pruned.kept,
        "inputs": pruned.inputs,
        "blobs": pruned.blobs,
    }


def cleaned_document(cleaned: Cleaned) -> dict[str, object]:
    """What was removed as a JSON document; sizes in bytes."""
    return {
        "dry_run": cleaned.dry_run,
        "pruned": None if cleaned.pruned is None else pruned_document(cleaned.pruned),
        "checkpoints": cleaned.checkpoints,
        "blobs": [{"digest": blob.digest, "size": blob.size} for blob in cleaned.swept.blobs],
        "pointers": cleaned.swept.pointers,
        "abandoned": cleaned.abandoned,
        "abandoned_bytes": cleaned.abandoned_bytes,
        "workers": cleaned.workers,
        "store_bytes": cleaned.store_bytes,
        "database_bytes": cleaned.database_bytes,
    }


def _rows(plan: Cleaned) -> list[tuple[str, str, str]]:
    pruned = plan.pruned
    numbers = [
        ("results and logs of old jobs", 0 if pruned is None else pruned.jobs, ""),
        ("rows passed with old jobs", 0 if pruned is None else pruned.inputs, ""),
        ("checkpoints of ended jobs", plan.checkpoints, ""),
        ("unused files in the store", len(plan.swept.blobs), size_text(plan.swept.size)),
        ("pointers of deleted versions", plan.swept.pointers, ""),
        ("abandoned uploads", plan.abandoned, size_text(plan.abandoned_bytes)),
        ("workers that are gone", plan.workers, ""),
    ]
    return [(what, f"{number:,}", size) for what, number, size in numbers if number]
