"""Workers as documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from longshore.producers.documents.jobs import described
from longshore.producers.reporting.activity.devices import DeviceWork
from longshore.producers.reporting.progress import progress_of, unit
from longshore.shared.ledger.records import JobRecord


@described
@dataclass(frozen=True, kw_only=True)
class RunningJobDocument:
    """A job that a worker runs."""

    id: UUID
    kind: str
    model: str
    version: int | None
    unit: str
    """What ``done`` and ``total`` count: rows, epochs, trials, folds or aliases."""
    done: int
    total: int | None
    rate: float | None
    """Units per second."""
    remaining: float | None
    """Seconds left at that rate."""
    started_at: datetime | None


@described
@dataclass(frozen=True, kw_only=True)
class WorkerDocument:
    """A worker, and what it does of the jobs that the reader may see."""

    name: str
    device: str
    """Such as ``cpu``, ``cuda:0``, or several GPUs joined by ``+``."""
    queue: str
    host: str
    pid: int
    families: Sequence[str]
    """The families of networks that it can train."""
    started_at: datetime
    seen_at: datetime
    """When it has last reported that it is running."""
    alive: bool
    job: RunningJobDocument | None
    """The job that it runs, or the first of several."""
    jobs: int
    """How many jobs it runs, in one batch."""


def worker_document(device: DeviceWork) -> WorkerDocument:
    """A worker as a document."""
    job = None if device.job is None else _running_job(device.job)
    return WorkerDocument(**vars(device.worker), job=job, jobs=device.jobs)


def _running_job(job: JobRecord) -> RunningJobDocument:
    progress = progress_of(job)
    return RunningJobDocument(
        id=job.id,
        kind=job.kind,
        model=job.model,
        version=job.version,
        unit=unit(job.kind),
        done=progress.done,
        total=progress.total,
        rate=progress.rate,
        remaining=progress.remaining,
        started_at=job.started_at,
    )
