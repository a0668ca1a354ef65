"""The columns of ``longshore models list``, ``versions`` and ``history``."""

from __future__ import annotations

from longshore.producers.cli.lists import ListColumn, age_column, moment_column, size_column
from longshore.producers.cli.table_layout import TableColumn
from longshore.producers.cli.views.short_values import metrics_text
from longshore.shared.ledger.records import ModelChange, ModelRecord, VersionRecord


def model_columns() -> list[ListColumn[ModelRecord]]:
    """The columns of a list of models, in the order of the table."""
    return [
        ListColumn(TableColumn("MODEL", min_width=20), lambda model: model.name, lambda model: model.name),
        ListColumn(TableColumn("VERSIONS", 3), lambda model: f"{model.versions:,}", lambda model: model.versions),
        ListColumn(
            TableColumn("NEWEST", 1),
            lambda model: "" if model.newest is None else str(model.newest),
            lambda model: model.newest,
        ),
        ListColumn(
            TableColumn("ALIASES", 2, min_width=14),
            lambda model: ", ".join(f"{alias}={version}" for alias, version in sorted(model.aliases.items())),
            lambda model: len(model.aliases),
        ),
        size_column("SIZE", 6, lambda model: model.size_bytes),
        size_column("SHARED", 7, lambda model: model.shared_bytes, is_default=False),
        moment_column("CREATED", 5, lambda model: model.created_at),
        age_column(4, lambda model: model.created_at),
    ]


def version_columns() -> list[ListColumn[VersionRecord]]:
    """The columns of a list of versions, in the order of the table."""
    return [
        ListColumn(TableColumn("VERSION"), lambda version: str(version.version), lambda version: version.version),
        ListColumn(
            TableColumn("ALIASES", 1, min_width=14),
            lambda version: ", ".join(sorted(version.aliases)),
            lambda version: ", ".join(sorted(version.aliases)) or None,
        ),
        ListColumn(TableColumn("FAMILY", 3), _family, _family),
        ListColumn(
            TableColumn("METRICS", 2, min_width=16),
            lambda version: metrics_text(version.manifest.get("metrics")),
            lambda version: metrics_text(version.manifest.get("metrics")) or None,
        ),
        size_column("SIZE", 4, lambda version: version.size_bytes),
        size_column("SHARED", 6, lambda version: version.shared_bytes, is_default=False),
        ListColumn(TableColumn("JOB", 5), _job, _job, is_default=False),
        moment_column("CREATED", 6, lambda version: version.created_at),
        age_column(5, lambda version: version.created_at),
    ]


def change_columns() -> list[ListColumn[ModelChange]]:
    """The columns of the history of a model, in the order of the table."""
    return [
        ListColumn(TableColumn("ALIAS", min_width=12), lambda change: change.alias or "", lambda change: change.alias),
        ListColumn(TableColumn("CHANGE"), _change, lambda change: change.version),
        ListColumn(TableColumn("ACTION", 2), lambda change: change.action, lambda change: change.action),
        ListColumn(TableColumn("BY", 1, min_width=12), lambda change: change.set_by, lambda change: change.set_by),
        ListColumn(TableColumn("JOB", 4), _job, _job),
        ListColumn(TableColumn("WHY", 5, min_width=20), gate_text, gate_text),
        moment_column("WHEN", 6, lambda change: change.set_at),
        age_column(1, lambda change: change.set_at),
    ]


def gate_text(change: ModelChange) -> str:
    """The condition under which an alias was moved, with its numbers; empty if there was none."""
    parts = None if change.gate is None else change.gate.get("parts")
    return (
        "; ".join(str(part.get("said")) for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ""
    )


def _change(change: ModelChange) -> str:
    """What an alias pointed at before and after, such as ``2 -> 3``, or the version that was deleted."""
    if change.action == "deleted":
        return f"version {change.version}"
    before, after = ("none" if version is None else str(version) for version in (change.previous, change.version))
    return f"{before} -> {after}"


def _job(record: VersionRecord | ModelChange) -> str:
    return "" if record.job_id is None else str(record.job_id)


def _family(version: VersionRecord) -> str:
    return str(version.manifest.get("family") or version.manifest.get("runtime") or "")
