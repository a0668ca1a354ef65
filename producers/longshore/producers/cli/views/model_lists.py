"""The columns of ``longshore models list`` and ``longshore models versions``."""

from __future__ import annotations

from longshore.producers.cli.lists import ListColumn, age_column, moment_column
from longshore.producers.cli.table_layout import TableColumn
from longshore.producers.cli.views.json_documents import metrics_text
from longshore.shared.ledger.records import ModelRecord, VersionRecord


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
        ListColumn(TableColumn("JOB", 5), _job, _job, is_default=False),
        moment_column("CREATED", 6, lambda version: version.created_at),
        age_column(4, lambda version: version.created_at),
    ]


def _job(version: VersionRecord) -> str:
    return "" if version.job_id is None else str(version.job_id)


def _family(version: VersionRecord) -> str:
    return str(version.manifest.get("family") or version.manifest.get("runtime") or "")
