"""The cluster: its workers and queues. Of jobs only the caller's own are shown and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Response

from longshore.producers.client import Client
from longshore.producers.documents.jobs import described
from longshore.producers.documents.workers import WorkerDocument, worker_document
from longshore.producers.gateway.access.callers import Caller, needs
from longshore.producers.gateway.answers import DEFAULT_LIMIT, Cursor, Limit, Page, answer, page_of
from longshore.producers.reporting.activity.devices import DeviceWork, read_devices
from longshore.producers.version import __version__
from longshore.shared.ledger.activity import QUEUES
from longshore.shared.ledger.gateway.tokens import Scope
from longshore.shared.ledger.records import WorkerRecord
from longshore.shared.ledger.workers import count_devices
from longshore.shared.vocabulary import State

router = APIRouter(tags=["cluster"])
Reader = Annotated[Caller, needs(Scope.CLUSTER_READ)]


@described
@dataclass(frozen=True, kw_only=True)
class QueueDocument:
    """A queue, which workers with one class of device take from."""

    name: str
    workers: int
    """Workers that are alive."""
    devices: int
    """Of these workers."""


@described
@dataclass(frozen=True, kw_only=True)
class StatusDocument:
    """What the cluster does for the caller."""

    version: str
    """The release of the gateway."""
    producer: str
    """For whom the token submits."""
    workers: int
    """Workers that are alive."""
    queues: Sequence[QueueDocument]
    jobs: Mapping[State, int]
    """The caller's jobs that have not ended, by state, each counted up to 10,000."""
    max_jobs: int | None
    """How many jobs that have not ended the caller may have; null for any number."""
    relay_silence: float | None
    """Seconds for which the relay has done nothing; null if none is at work."""


@router.get("/workers", response_model=Page[WorkerDocument])
async def list_workers(caller: Reader, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
    """List the workers that have reported within a day, by name, and what they do of the caller's jobs."""

    def read(client: Client) -> Sequence[WorkerDocument]:
        return [worker_document(_own(device, caller.producer)) for device in read_devices(client.ledger)]

    workers = sorted(await caller.client.call(read), key=lambda worker: worker.name)
    return answer(page_of(workers, lambda worker: (worker.name,), limit, cursor))


@router.get("/queues", response_model=Page[QueueDocument])
async def list_queues(caller: Reader) -> Response:
    """List the queues and the devices that work for them."""
    queues = _queues(await caller.client.call(lambda client: client.ledger.workers.workers()))
    return answer(Page(data=queues, has_more=False, next=None))


@router.get("/status", response_model=StatusDocument)
async def show_status(caller: Reader) -> Response:
    """Show what the cluster does for the caller."""

    def read(client: Client) -> StatusDocument:
        ledger = client.ledger
        workers, limit = ledger.workers.workers(), ledger.producer_limits.of(caller.producer)
        return StatusDocument(
            version=__version__,
            producer=caller.producer,
            workers=sum(worker.alive for worker in workers),
            queues=_queues(workers),
            jobs=ledger.activity.count_open_jobs(),
            max_jobs=None if limit is None else limit.max_jobs,
            relay_silence=ledger.queries.relay_silence(),
        )

    return answer(await caller.client.call(read))


def _own(device: DeviceWork, producer: str) -> DeviceWork:
    """A worker with what it does for a producer. Row-level security hides other jobs already."""
    if device.job is None or device.job.producer != producer:
        return replace(device, job=None, jobs=0)
    return device


def _queues(workers: Sequence[WorkerRecord]) -> list[QueueDocument]:
    alive = [worker for worker in workers if worker.alive]
    names = sorted({*QUEUES, *(worker.queue for worker in alive)})
    return [
        QueueDocument(
            name=name,
            workers=sum(worker.queue == name for worker in alive),
            devices=sum(count_devices(worker.device) for worker in alive if worker.queue == name),
        )
        for name in names
    ]
