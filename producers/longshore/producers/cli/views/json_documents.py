"""Jobs and versions as JSON documents.

The keys of the documents are an interface for programs: they stay when attributes of records are renamed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from longshore.producers.reporting.human import metrics_line
from longshore.producers.reporting.progress import progress_of, unit
from longshore.producers.reporting.redaction import public_spec
from longshore.shared.ledger.records import JobRecord, ModelChange, ShardRecord, VersionRecord
from longshore.shared.store.address import public

if TYPE_CHECKING:
    from longshore.producers.job import Job
    from longshore.shared.ledger.retention.removal import Pruned


def job_document(record: JobRecord) -> dict[str, object]:
    """A job as a JSON document. ``rate`` is in units per second, ``remaining`` in seconds,
    ``token_rates`` in tokens per second."""
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
        "unit": unit(record.kind),
        "done": progress.done,
        "total": record.rows_total,
        "failed": record.rows_failed,
        "rate": progress.rate,
        "remaining": progress.remaining,
        "usage": record.usage,
        "token_rates": progress.token_rates,
        "shards_total": record.shards_total,
        "shards_done": record.shards_done,
        "shards_failed": record.shards_failed,
        "after": record.depends_on,
        "extends": record.extends,
        "waits_for": record.waits_for,
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


def job_details_document(job: Job) -> dict[str, object]:
    """A job as a JSON document, with its chain, shards, errors, metrics, trials and output files."""
    record = job.record()
    chain = [each.record() for each in job.chain()]
    return {
        **job_document(record),
        "why": job.why().reason,
        "version_deleted": job.is_version_deleted(),
        "chain": [{"id": each.id, "state": each.state, "after": each.depends_on} for each in chain],
        "shards": [shard_document(shard) for shard in job.shards()],
        "errors": job.errors(),
        "metrics": job.metrics(),
        "trials": job.trials(),
        "parts": [public(uri) for uri in job.parts()] if record.spec.get("output") else None,
    }


def shard_document(record: ShardRecord) -> dict[str, object]:
    """A shard as a JSON document."""
    return {
        "index": record.index,
        "task": record.action,
        "state": record.state,
        "start": record.start,
        "stop": record.stop,
        "attempt": record.attempt,
        "attempt_limit": record.attempt_limit,
        "worker": record.worker,
        "rows_done": record.rows_done,
        "only_failed": record.only_failed,
        "errors": record.errors,
        "outages": record.outages,
        "waits_for": record.waits_for,
        "not_before": record.not_before,
        "part": record.output_file,
    }


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


def version_document(record: VersionRecord) -> dict[str, object]:
    """A version as a JSON document, with its manifest."""
    return {
        "model": record.model,
        "version": record.version,
        "digest": record.digest,
        "aliases": record.aliases,
        "job": record.job_id,
        "created_at": record.created_at,
        "size_bytes": record.size_bytes,
        "shared_bytes": record.shared_bytes,
        "manifest": record.manifest,
    }


def change_document(change: ModelChange) -> dict[str, object]:
    """An entry of a model's history as a JSON document."""
    return {
        "action": change.action,
        "alias": change.alias,
        "version": change.version,
        "previous": change.previous,
        "by": change.set_by,
        "at": change.set_at,
        "job": change.job_id,
        "gate": change.gate,
    }


def metrics_text(metrics: object) -> str:
    """Metrics on one line, such as ``accuracy=0.974 loss=0.09``."""
    return metrics_line(metrics)


def version_text(model: str, version: int | None) -> str:
    """A model and a version, such as ``digits:3``."""
    return model if version is None else f"{model}:{version}"
