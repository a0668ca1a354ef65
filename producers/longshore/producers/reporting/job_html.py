"""A job as a notebook and a Python prompt show it."""

from __future__ import annotations

from collections.abc import Sequence

from longshore.producers.reporting.curves import latest
from longshore.producers.reporting.human import duration_text, time_text
from longshore.producers.reporting.progress import progress_of, unit
from longshore.producers.reporting.small_curve import small_curve
from longshore.producers.reporting.tokens import speed_text, token_usage
from longshore.shared.ledger.records import JobRecord, MetricRecord
from longshore.shared.notebook import html_table, numbers_text


def job_line(record: JobRecord) -> str:
    """A job on one line: its id, kind, version and state, how far it is, and the metrics of a version that it made."""
    progress, outcome = progress_of(record), record.outcome or {}
    version = outcome.get("version", record.version)
    total = "?" if record.rows_total is None else f"{record.rows_total:,}"
    facts = [
        f"{record.id} {record.kind} {record.model}{'' if version is None else f':{version}'} {record.state}",
        f"{progress.done:,} of {total} {unit(record.kind)}" if record.started_at is not None else "",
        f"{progress.failed:,} failed" if progress.failed else "",
        numbers_text(outcome.get("metrics")) or "",
    ]
    return ", ".join(fact for fact in facts if fact)


def job_html(record: JobRecord, metrics: Sequence[MetricRecord]) -> str:
    """A table with what is known of a job, and the curve of a training. All text is escaped.

    :param metrics: of a training so far; empty for other jobs.
    """
    progress = progress_of(record)
    total = "?" if record.rows_total is None else f"{record.rows_total:,}"
    outcome = record.outcome or {}
    rows = {
        "id": record.id,
        "state": record.state,
        "progress": f"{progress.done:,} of {total} {unit(record.kind)}",
        "speed": speed_text(progress, record.kind) or None,
        "tokens": token_usage(record),
        "time left": time_text(progress.remaining) or None,
        "failed": progress.failed or None,
        "version": outcome.get("version", record.version),
        "metrics": numbers_text(outcome.get("metrics") or {**latest(metrics)}),
        "extends": record.extends,
        "after": record.depends_on,
        "waits for": record.waits_for,
        "producer": record.producer,
        "submitted": f"{record.created_at:%Y-%m-%d %H:%M:%S} UTC",
        "took": duration_text(progress.seconds) if record.started_at else None,
        "error": record.error,
        "notes": "; ".join(record.notes) or None,
    }
    monitor = record.spec.get("monitor")
    curve = small_curve(metrics, monitor if isinstance(monitor, str) else "val_loss")
    return html_table(f"{record.kind} {record.model}", rows) + curve
