"""The output of ``longshore df``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

from longshore.producers.cli.output import note, print_table
from longshore.producers.cli.table_layout import TableColumn
from longshore.producers.disk_usage import DiskUsage, SpaceOf
from longshore.producers.reporting.human import size_text

#: The parts of the space of a model or a job, as they are called in tables. The last are left out first.
_PARTS = ("results", "checkpoints", "inputs", "logs", "row_errors")
_HEADERS = {"row_errors": "ERRORS"}


def print_usage(usage: DiskUsage) -> None:
    """Print what takes space, in total, by model and by job."""
    store, database = usage.store, usage.database
    print_table(
        (TableColumn("SPACE"), TableColumn("SIZE"), TableColumn("WHERE", 1, min_width=16)),
        [
            ("store", size_text(store.total), f"{store.name}, {store.files:,} files"),
            ("  models", size_text(store.models), ""),
            ("  checkpoints", size_text(store.checkpoints), ""),
            ("  inputs", size_text(store.inputs), ""),
            ("  uploads", size_text(store.uploads), ""),
            ("  other", size_text(store.other), ""),
            ("database", size_text(database.total), "Postgres, with indexes"),
            ("  results", size_text(database.results), ""),
            ("  row errors", size_text(database.row_errors), ""),
            ("  logs", size_text(database.logs), ""),
            ("  inputs", size_text(database.inputs), ""),
            ("  other", size_text(database.other), ""),
            ("total", size_text(usage.total), ""),
        ],
        hint=None,
    )
    if usage.models:
        sys.stdout.write("\n")
        columns = [TableColumn("MODEL", min_width=20), TableColumn("TOTAL"), TableColumn("VERSIONS", 1)]
        rows = [[model.model, size_text(model.total), _cell(model.versions), *_cells(model)] for model in usage.models]
        _print_parts(columns, rows)
    if usage.jobs:
        sys.stdout.write("\n")
        columns = [TableColumn("JOB"), TableColumn("MODEL", 3, min_width=12), TableColumn("TOTAL")]
        _print_parts(columns, [[str(job.id), job.model, size_text(job.total), *_cells(job)] for job in usage.jobs])
    if usage.sampled:
        note("what models and jobs take in the database is estimated from a sample; the totals are exact")


def usage_document(usage: DiskUsage) -> dict[str, object]:
    """The space as a JSON document, in bytes."""
    return {
        "total": usage.total,
        "store": usage.store,
        "database": usage.database,
        "models": [{**dataclasses.asdict(model), "total": model.total} for model in usage.models],
        "jobs": [{**dataclasses.asdict(job), "total": job.total} for job in usage.jobs],
        "sampled": usage.sampled,
    }


def _print_parts(columns: Sequence[TableColumn], rows: Sequence[Sequence[str]]) -> None:
    parts = [TableColumn(_HEADERS.get(name, name.upper()), rank) for rank, name in enumerate(_PARTS, 4)]
    print_table([*columns, *parts], rows, hint=None)


def _cells(space: SpaceOf) -> list[str]:
    return [_cell(getattr(space, name)) for name in _PARTS]


def _cell(size: int) -> str:
    return size_text(size) if size else ""
