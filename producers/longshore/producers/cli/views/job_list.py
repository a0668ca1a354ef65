"""The columns of ``longshore jobs list``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from longshore.producers.cli.lists import ListColumn, age_column, moment_column, print_records
from longshore.producers.cli.output import note
from longshore.producers.cli.table_layout import TableColumn
from longshore.producers.cli.views.short_values import version_text
from longshore.producers.job_ids import short_ids
from longshore.producers.reporting.human import duration_text, time_text
from longshore.producers.reporting.progress import progress_of, rate_text, unit
from longshore.shared.ledger.records import JobRecord

if TYPE_CHECKING:
    from longshore.shared.ledger.ledger import Ledger


def job_columns(short_ids: Mapping[UUID, str]) -> list[ListColumn[JobRecord]]:
    """The columns, in the order of the table. They have no keys: Postgres sorts jobs.

    :param short_ids: how ids are written; those that are missing are written in full.
    """
    return [
        ListColumn(TableColumn("JOB"), lambda job: short_ids.get(job.id, str(job.id))),
        ListColumn(TableColumn("ID"), lambda job: str(job.id), is_default=False),
        ListColumn(TableColumn("KIND", 3), lambda job: job.kind),
        ListColumn(TableColumn("MODEL", 1, min_width=10), lambda job: version_text(job.model, _version(job))),
        ListColumn(TableColumn("STATE"), lambda job: job.state),
        ListColumn(TableColumn("DONE", 2), _percent),
        ListColumn(TableColumn("PROGRESS", 8), progress_text),
        ListColumn(TableColumn("LEFT", 5), lambda job: time_text(progress_of(job).remaining)),
        ListColumn(TableColumn("TOOK", 9), lambda job: duration_text(_seconds(job))),
        ListColumn(TableColumn("FAILED", 5), lambda job: f"{job.rows_failed:,}" if job.rows_failed else ""),
        ListColumn(TableColumn("SPEED", 10), lambda job: rate_text(progress_of(job).rate, job.kind)),
        ListColumn(TableColumn("TOKENS", 10), _tokens),
        ListColumn(TableColumn("PRIORITY", 12), lambda job: str(job.priority)),
        ListColumn(TableColumn("PRODUCER", 11, min_width=12), lambda job: job.producer),
        *_columns_on_request(short_ids),
        age_column(4, lambda job: job.created_at),
    ]


def _columns_on_request(short_ids: Mapping[UUID, str]) -> list[ListColumn[JobRecord]]:
    """The columns that are shown only if they are chosen."""
    return [
        ListColumn(TableColumn("QUEUE", 13), lambda job: job.queue, is_default=False),
        ListColumn(
            TableColumn("SHARDS", 14), lambda job: f"{job.shards_done:,} of {job.shards_total:,}", is_default=False
        ),
        ListColumn(
            TableColumn("EXTENDS", 14),
            lambda job: "" if job.extends is None else short_ids.get(job.extends, str(job.extends)),
            is_default=False,
        ),
        moment_column("SUBMITTED", 15, lambda job: job.created_at),
        moment_column("STARTED", 16, lambda job: job.started_at),
        moment_column("ENDED", 17, lambda job: job.finished_at),
        ListColumn(TableColumn("ERROR", 18, min_width=20), lambda job: job.error or "", is_default=False),
    ]


def print_jobs(
    ledger: Ledger,
    records: Sequence[JobRecord],
    names: Sequence[str] | None,
    next_page: UUID | None = None,
    *,
    order: str | None = None,
) -> None:
    """Print a table of jobs. On a terminal, ids are shortened.

    :param names: as in :func:`~longshore.producers.cli.lists.print_records`.
    :param next_page: the last job of a page after which there are more.
    :param order: that of ``--sort``; ``None`` for the newest first.
    """
    ids = [record.id for record in records]
    ids += [record.extends for record in records if record.extends is not None]
    shown = short_ids(ledger, [*ids, *([] if next_page is None else [next_page])]) if sys.stdout.isatty() else {}
    print_records(records, job_columns(shown), names, order)
    if not records:
        note("no jobs")
    if next_page is not None:
        option = "--after" if order is not None else "--before"
        note(f"there are more: {option} {shown.get(next_page, next_page)} lists the next ones, --limit more at once")


def progress_text(job: JobRecord) -> str:
    """How much is done, such as ``7 of 40 epochs``."""
    total = "?" if job.rows_total is None else f"{job.rows_total:,}"
    return f"{progress_of(job).done:,} of {total} {unit(job.kind)}"


def _percent(job: JobRecord) -> str:
    if job.started_at is None:
        return ""
    return f"{int(100 * progress_of(job).fraction)}%"


def _tokens(job: JobRecord) -> str:
    """Tokens that are generated per second; empty for jobs that generate no text."""
    rates = progress_of(job).token_rates
    return "" if rates is None else f"{rates.completion:,.0f} tokens/s"


def _version(job: JobRecord) -> int | None:
    """The version that a job runs or, for a training, has made."""
    made = (job.outcome or {}).get("version")
    return made if job.version is None and isinstance(made, int) else job.version


def _seconds(job: JobRecord) -> float | None:
    """How long the job has run; ``None`` if it has not started."""
    return None if job.started_at is None else progress_of(job).seconds
