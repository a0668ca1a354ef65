"""Jobs and their shards as documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import ConfigDict, JsonValue, with_config

from longshore.producers.job_errors import JobError
from longshore.producers.reporting.progress import TokenRates, progress_of, unit
from longshore.producers.reporting.redaction import public_spec
from longshore.shared.ledger.records import JobRecord, MetricRecord, ShardRecord, TrialRecord
from longshore.shared.store.address import public
from longshore.shared.vocabulary import State

if TYPE_CHECKING:
    from longshore.producers.job import Job
    from longshore.producers.logs import LogLine

#: Schemas take their descriptions from the docstrings of attributes.
described = with_config(ConfigDict(use_attribute_docstrings=True))


@described
@dataclass(frozen=True, kw_only=True)
class ProgressSpan:
    """How fast a job is: of a training, the epochs that its newest attempt has measured after its first one; of others,
    the rows since the end of the first batch, or since a generation began.
    """

    done: float
    seconds: float
    """Those that they took."""
    waited: float
    """Seconds since the last of them ended."""


@described
@dataclass(frozen=True, kw_only=True)
class JobDocument:
    """A job."""

    id: UUID
    kind: str
    """infer, generate, train, tune, cross_validate, evaluate or promote."""
    state: State
    model: str
    version: int | None
    """The version that the job runs."""
    digest: str | None
    producer: str
    queue: str
    priority: int
    unit: str
    """What ``done`` and ``total`` count: rows, epochs, trials, folds or aliases."""
    done: int
    total: int | None
    """Null until the rows of the input have been counted."""
    failed: int
    """Rows that have an error in place of a result."""
    rows_done: int
    """Those of ``done`` that are stored, without failed ones."""
    rows_running: int
    """Those of ``done`` that are not stored yet, and run again if their attempt is lost."""
    rows_before_retry: int
    """Those of ``done`` from before the last retry, which do not count for the rate."""
    seconds: float | None
    """Seconds since a worker started the job, or restarted it after a retry; null before that."""
    progress_span: ProgressSpan | None
    """What ``rate`` and ``remaining`` of a job that runs come from, once its second epoch or its first rows have ended;
    else null.
    """
    rate: float | None
    """Units per second."""
    remaining: float | None
    """Seconds left at that rate."""
    usage: Mapping[str, int] | None
    """Tokens of the rows that are done, of a job that generates texts."""
    token_rates: TokenRates | None
    """Tokens per second."""
    shards_total: int
    shards_done: int
    shards_failed: int
    after: UUID | None
    """The job that it follows in a chain."""
    extends: UUID | None
    """The training that it goes on from."""
    waits_for: str | None
    """The outage for whose end a shard waits."""
    error: str | None
    notes: Sequence[str]
    outcome: Mapping[str, JsonValue] | None
    """What a job that has ended has made, such as a version and its metrics."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime | None
    pruned_at: datetime | None
    """When its results were removed because of their age."""
    spec: Mapping[str, JsonValue]
    """Its data and options, without the credentials of URLs."""


@described
@dataclass(frozen=True, kw_only=True)
class ProgressDocument:
    """How far a job is."""

    id: UUID
    state: State
    unit: str
    """What ``done`` and ``total`` count: rows, epochs, trials, folds or aliases."""
    done: int
    total: int | None
    failed: int
    rate: float | None
    """Units per second."""
    remaining: float | None
    """Seconds left at that rate."""
    token_rates: TokenRates | None
    """Tokens per second."""


@described
@dataclass(frozen=True, kw_only=True)
class ShardDocument:
    """A shard of a job."""

    index: int
    task: str
    """What its attempts do: infer, generate, train, evaluate, plan, ..."""
    state: State
    start: int
    """Its first row."""
    stop: int
    """The row after its last."""
    attempt: int
    attempt_limit: int
    worker: str | None
    rows_done: int
    only_failed: bool
    """Only the rows that have errors run again."""
    errors: Sequence[Mapping[str, JsonValue]]
    """Of the attempts that failed."""
    outages: int
    waits_for: str | None
    not_before: datetime | None
    part: str | None
    """The file with its outputs."""


@described
@dataclass(frozen=True, kw_only=True)
class ChainLink:
    """A job of a chain."""

    id: UUID
    state: State
    after: UUID | None


@dataclass(frozen=True, kw_only=True)
class JobDetails(JobDocument):
    """A job with its chain, shards, errors, metrics, trials and output files."""

    why: str
    version_deleted: bool
    chain: Sequence[ChainLink]
    shards: Sequence[ShardDocument]
    errors: Sequence[JobError]
    metrics: Sequence[MetricRecord]
    trials: Sequence[TrialRecord]
    parts: Sequence[str] | None


@described
@dataclass(frozen=True, kw_only=True)
class RowRange:
    """Neighbouring rows."""

    start: int
    """The first of them."""
    stop: int
    """The row after the last."""


@described
@dataclass(frozen=True, kw_only=True)
class LogLineDocument:
    """One line of the log of an attempt."""

    shard: int
    attempt: int
    time: datetime | None
    """Null for the line that says how much was left out."""
    level: str | None
    text: str


def job_document(record: JobRecord) -> JobDocument:
    """A job as a document."""
    progress = progress_of(record)
    return JobDocument(
        id=record.id,
        kind=record.kind,
        state=record.state,
        model=record.model,
        version=record.version,
        digest=record.digest,
        producer=record.producer,
        queue=record.queue,
        priority=record.priority,
        unit=unit(record.kind),
        done=progress.done,
        total=record.rows_total,
        failed=record.rows_failed,
        rows_done=record.rows_done,
        rows_running=record.rows_running,
        rows_before_retry=record.rows_before_retry,
        seconds=None if record.started_at is None else progress.seconds,
        progress_span=_progress_span(record),
        rate=progress.rate,
        remaining=progress.remaining,
        usage=record.usage,
        token_rates=progress.token_rates,
        shards_total=record.shards_total,
        shards_done=record.shards_done,
        shards_failed=record.shards_failed,
        after=record.depends_on,
        extends=record.extends,
        waits_for=record.waits_for,
        error=record.error,
        notes=record.notes,
        outcome=record.outcome,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        deadline=record.deadline,
        pruned_at=record.pruned_at,
        spec=public_spec(record),
    )


def _progress_span(record: JobRecord) -> ProgressSpan | None:
    if record.progress_span is None:
        return None
    done, seconds, waited = record.progress_span
    return ProgressSpan(done=done, seconds=seconds, waited=waited)


def progress_document(record: JobRecord) -> ProgressDocument:
    """How far a job is as a document."""
    progress = progress_of(record)
    return ProgressDocument(
        id=record.id,
        state=record.state,
        unit=unit(record.kind),
        done=progress.done,
        total=record.rows_total,
        failed=record.rows_failed,
        rate=progress.rate,
        remaining=progress.remaining,
        token_rates=progress.token_rates,
    )


def job_details(job: Job) -> JobDetails:
    """A job as a document, with its chain, shards, errors, metrics, trials and output files."""
    record = job.record()
    return JobDetails(
        **vars(job_document(record)),
        why=job.why().reason,
        version_deleted=job.is_version_deleted(),
        chain=chain_links(job),
        shards=[shard_document(shard) for shard in job.shards()],
        errors=job.errors(),
        metrics=job.metrics(),
        trials=job.trials(),
        parts=[public(uri) for uri in job.parts()] if record.spec.get("output") else None,
    )


def chain_links(job: Job) -> list[ChainLink]:
    """The jobs of the chain of a job."""
    records = [each.record() for each in job.chain()]
    return [ChainLink(id=each.id, state=each.state, after=each.depends_on) for each in records]


def shard_document(record: ShardRecord) -> ShardDocument:
    """A shard as a document."""
    return ShardDocument(
        index=record.index,
        task=record.action,
        state=record.state,
        start=record.start,
        stop=record.stop,
        attempt=record.attempt,
        attempt_limit=record.attempt_limit,
        worker=record.worker,
        rows_done=record.rows_done,
        only_failed=record.only_failed,
        errors=record.errors,
        outages=record.outages,
        waits_for=record.waits_for,
        not_before=record.not_before,
        part=record.output_file,
    )


def log_line(line: LogLine) -> LogLineDocument:
    """A line of a log as a document."""
    return LogLineDocument(
        shard=line.shard, attempt=line.attempt, time=line.time, level=line.level or None, text=line.text
    )
