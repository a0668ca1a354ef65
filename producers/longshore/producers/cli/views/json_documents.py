"""Jobs and versions as JSON documents and as lines of tables."""

from __future__ import annotations

from datetime import UTC, datetime

from longshore.producers.reporting.progress import progress_of, rate_text, time_text
from longshore.producers.reporting.progress import unit as counted
from longshore.producers.reporting.redaction import public_spec
from longshore.shared.ledger.records import JobRecord, ModelRecord, VersionRecord

JOB_HEADERS = ("JOB", "KIND", "MODEL", "STATE", "DONE", "OF", "FAILED", "SPEED", "LEFT", "PRIORITY", "PRODUCER", "AGE")
VERSION_HEADERS = ("VERSION", "ALIASES", "FAMILY", "METRICS", "AGE")
MODEL_HEADERS = ("MODEL", "VERSIONS", "NEWEST", "ALIASES", "AGE")


def job_document(record: JobRecord) -> dict[str, object]:
    """A job as programs read it. Rows of a training job are its epochs; times are in seconds."""
    progress = progress_of(record)
    return {
        "id": record.id,
        "kind": record.kind,
        "state": record.state,
        "model": record.model,
        "version": record.version,
        "digest": record.digest,
        "producer": record.producer,
        "queue": record.queue,
        "priority": record.priority,
        "unit": counted(record.kind),
        "done": progress.done,
        "total": record.rows_total,
        "failed": record.rows_failed,
        "rate": progress.rate,
        "remaining": progress.remaining,
        "shards_total": record.shards_total,
        "shards_done": record.shards_done,
        "shards_failed": record.shards_failed,
        "after": record.depends_on,
        "error": record.error,
        "notes": record.notes,
        "outcome": record.outcome,
        "created_at": record.created_at,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "deadline": record.deadline,
        "pruned_at": record.pruned_at,
        "spec": public_spec(record),
    }


def job_row(record: JobRecord) -> tuple[object, ...]:
    """A job as one line of a table."""
    progress = progress_of(record)
    return (
        record.id,
        record.kind,
        named(record.model, record.version),
        record.state,
        progress.done,
        "" if record.rows_total is None else record.rows_total,
        record.rows_failed,
        rate_text(progress.rate, record.kind),
        time_text(progress.remaining),
        record.priority,
        record.producer,
        age(record.created_at),
    )


def version_document(record: VersionRecord) -> dict[str, object]:
    """A version as programs read it, with its manifest."""
    return {
        "model": record.model,
        "version": record.version,
        "digest": record.digest,
        "aliases": record.aliases,
        "job": record.job_id,
        "created_at": record.created_at,
        "manifest": record.manifest,
    }


def version_row(record: VersionRecord) -> tuple[object, ...]:
    """A version as one line of a table."""
    manifest = record.manifest
    aliases = ", ".join(sorted(record.aliases))
    family = manifest.get("family") or manifest.get("runtime")
    return record.version, aliases, family, measured(manifest.get("metrics")), age(record.created_at)


def model_row(record: ModelRecord) -> tuple[object, ...]:
    """A model as one line of a table."""
    aliases = ", ".join(f"{alias}={version}" for alias, version in sorted(record.aliases.items()))
    return record.name, record.versions, record.newest, aliases, age(record.created_at)


def measured(metrics: object) -> str:
    """What was measured when a version was made, in one line: ``accuracy=0.974 loss=0.09``."""
    if not isinstance(metrics, dict):
        return ""
    numbers = {name: value for name, value in sorted(metrics.items()) if isinstance(value, int | float)}
    return " ".join(f"{name}={value:.4g}" for name, value in numbers.items())


def named(model: str, version: int | None) -> str:
    """``digits:3``."""
    return model if version is None else f"{model}:{version}"


def age(moment: datetime) -> str:
    """How long ago, in one unit: ``12s``, ``3m``, ``5h``, ``2d``."""
    seconds = max((datetime.now(UTC) - moment).total_seconds(), 0.0)
    for unit, size, limit in (("s", 1, 120), ("m", 60, 120 * 60), ("h", 3600, 48 * 3600)):
        if seconds < limit:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds // 86400)}d"


def local_time(moment: datetime | None) -> str | None:
    """A time as people read it, in their own zone."""
    return None if moment is None else moment.astimezone().isoformat(sep=" ", timespec="seconds")
