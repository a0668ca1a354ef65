"""What a cluster does now: its devices, and the jobs that have not ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from longshore.producers.reporting.activity.devices import DeviceWork, read_devices
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import JobRecord
from longshore.shared.vocabulary import State

#: Jobs that come next, at most.
MAX_NEXT_JOBS = 10


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What a cluster does at a moment."""

    read_at: datetime
    devices: Sequence[DeviceWork]
    #: The number of jobs that are running, queued and waiting, each counted up to
    #: :data:`~longshore.shared.ledger.activity.MAX_OPEN_JOBS`.
    jobs: Mapping[State, int]
    #: The jobs that workers take next, and that have not started yet.
    next: Sequence[JobRecord]


def read_overview(ledger: Ledger) -> Overview:
    """Look at a cluster. It reads little, however many jobs wait.

    :raises ServiceUnavailable: Postgres cannot be reached.
    """
    ids = ledger.activity.next_jobs(MAX_NEXT_JOBS)
    records = ledger.queries.some_jobs(ids)
    return Overview(
        read_at=datetime.now(UTC),
        devices=read_devices(ledger),
        jobs=ledger.activity.count_open_jobs(),
        next=[records[id_] for id_ in ids if id_ in records and records[id_].state is State.QUEUED],
    )
