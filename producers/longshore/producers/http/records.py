"""The documents of the gateway as the values that the client gives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar, cast

from pydantic import JsonValue, TypeAdapter

from longshore.producers.documents.jobs import JobDocument, LogLineDocument, ShardDocument
from longshore.producers.documents.models import AliasDocument, ChangeDocument, DeletionDocument, VersionDocument
from longshore.producers.job_errors import JobError
from longshore.producers.logs import LogLine
from longshore.shared.ledger.records import (
    JobRecord,
    MetricRecord,
    ModelChange,
    ModelRecord,
    ShardRecord,
    TrialRecord,
    VersionRecord,
)

T = TypeVar("T")

#: What a gateway of an earlier release does not send of a job.
_NEW_FIELDS: Final[Mapping[str, JsonValue]] = {"seconds": None, "progress_span": None}
_JOB: Final = TypeAdapter(JobDocument)
_SHARD: Final = TypeAdapter(ShardDocument)
_METRIC: Final = TypeAdapter(MetricRecord)
_TRIAL: Final = TypeAdapter(TrialRecord)
_ERROR: Final = TypeAdapter(JobError)
_LINE: Final = TypeAdapter(LogLineDocument)
_MODEL: Final = TypeAdapter(ModelRecord)
_VERSION: Final = TypeAdapter(VersionDocument)
_ALIAS: Final = TypeAdapter(AliasDocument)
_CHANGE: Final = TypeAdapter(ChangeDocument)
_DELETION: Final = TypeAdapter(DeletionDocument)


def job_record(document: JsonValue) -> JobRecord:
    """A job. Its spec lacks the credentials of URLs."""
    job = _JOB.validate_python({**_NEW_FIELDS, **cast("dict[str, JsonValue]", document)})
    span = job.progress_span
    return JobRecord(
        id=job.id,
        kind=job.kind,
        state=job.state,
        producer=job.producer,
        queue=job.queue,
        priority=job.priority,
        spec=dict(job.spec),
        model=job.model,
        version=job.version,
        digest=job.digest,
        rows_total=job.total,
        rows_done=job.rows_done,
        rows_failed=job.failed,
        shards_total=job.shards_total,
        shards_done=job.shards_done,
        shards_failed=job.shards_failed,
        outcome=None if job.outcome is None else dict(job.outcome),
        error=job.error,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        deadline=job.deadline,
        read_at=_read_at(job),
        pruned_at=job.pruned_at,
        rows_running=job.rows_running,
        rows_before_retry=job.rows_before_retry,
        notes=list(job.notes),
        usage=None if job.usage is None else dict(job.usage),
        waits_for=job.waits_for,
        depends_on=job.after,
        progress_span=None if span is None else [span.done, span.seconds, span.waited],
    )


def _read_at(job: JobDocument) -> datetime:
    """When a job was read, by the clock of its cluster."""
    if job.started_at is None or job.seconds is None:
        return datetime.now(UTC)
    return job.started_at + timedelta(seconds=job.seconds)


def shard_record(document: JsonValue) -> ShardRecord:
    """A shard."""
    shard = _SHARD.validate_python(document)
    return ShardRecord(
        index=shard.index,
        action=shard.task,
        state=shard.state,
        start=shard.start,
        stop=shard.stop,
        attempt=shard.attempt,
        attempt_limit=shard.attempt_limit,
        worker=shard.worker,
        rows_done=shard.rows_done,
        only_failed=shard.only_failed,
        errors=[dict(error) for error in shard.errors],
        output_file=shard.part,
        outages=shard.outages,
        waits_for=shard.waits_for,
        not_before=shard.not_before,
    )


def metric_record(document: JsonValue) -> MetricRecord:
    """A metric."""
    fields = cast("dict[str, JsonValue]", document)
    return _METRIC.validate_python({**fields, "value": _number(fields.get("value"))})


def trial_record(document: JsonValue) -> TrialRecord:
    """A trial."""
    fields = cast("dict[str, JsonValue]", document)
    numbers = {name: _numbers(fields.get(name)) for name in ("metrics", "history")}
    return _TRIAL.validate_python({**fields, **numbers})


def job_error(document: JsonValue) -> JobError:
    """An error of a row or of an attempt."""
    return _ERROR.validate_python(document)


def log_line(text: str) -> LogLine:
    """A line of a log, from a line of JSON."""
    line = _LINE.validate_json(text)
    return LogLine(line.shard, line.attempt, line.time, line.level or "", line.text)


def model_record(document: JsonValue) -> ModelRecord:
    """A model."""
    return _MODEL.validate_python(document)


def version_record(document: JsonValue) -> VersionRecord:
    """A version."""
    version = _VERSION.validate_python(document)
    return VersionRecord(
        model=version.model,
        version=version.version,
        digest=version.digest,
        manifest=dict(version.manifest),
        job_id=version.job,
        created_at=version.created_at,
        aliases=list(version.aliases),
        size_bytes=version.size_bytes,
        shared_bytes=version.shared_bytes,
    )


def version_of_alias(document: JsonValue) -> str:
    """The reference of the version that an alias points at."""
    alias = _ALIAS.validate_python(document)
    return f"{alias.model}:{alias.version}"


def model_change(document: JsonValue) -> ModelChange:
    """An entry of a model's history."""
    change = _CHANGE.validate_python(document)
    return ModelChange(
        action=change.action,
        alias=change.alias,
        version=change.version,
        previous=change.previous,
        set_by=change.by,
        set_at=change.at,
        job_id=change.job,
        gate=None if change.gate is None else dict(change.gate),
    )


def deletion(document: JsonValue) -> DeletionDocument:
    """A version that was deleted."""
    return _DELETION.validate_python(document)


def listed(documents: JsonValue) -> Iterable[JsonValue]:
    """The entries of a page."""
    data = documents.get("data") if isinstance(documents, dict) else None
    return data if isinstance(data, list) else ()


def _number(value: JsonValue) -> JsonValue:
    """A number that was not finite, which JSON does not have, as NaN."""
    return math.nan if value is None else value


def _numbers(values: JsonValue) -> JsonValue:
    return {name: _number(value) for name, value in values.items()} if isinstance(values, Mapping) else values
