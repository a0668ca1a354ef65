"""The workers of a cluster and what each does, as table rows and as JSON documents."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from longshore.producers.cli.table_layout import TableColumn
from longshore.producers.documents.workers import worker_document
from longshore.producers.reporting.activity.devices import DeviceWork, job_text, progress_text
from longshore.producers.reporting.human import age_text, time_text
from longshore.producers.reporting.progress import progress_of

if TYPE_CHECKING:
    from longshore.shared.ledger.ledger import Ledger
    from longshore.shared.ledger.records import JobRecord

#: Silent workers that are shown, at most: on a cluster that scales there can be hundreds.
MAX_SILENT_WORKERS = 5

DEVICE_COLUMNS = (
    TableColumn("WORKER", min_width=12),
    TableColumn("STATE"),
    TableColumn("WORK", 1, min_width=12),
    TableColumn("PROGRESS", 2, min_width=14),
    TableColumn("LEFT", 4),
    TableColumn("SINCE", 6),
    TableColumn("JOB", 3),
)


def shown_devices(devices: Sequence[DeviceWork]) -> list[DeviceWork]:
    """The workers that are alive, and the silent ones that were seen last."""
    silent = sorted(
        (each for each in devices if not each.worker.alive), key=lambda each: each.worker.seen_at, reverse=True
    )
    names = {each.worker.name for each in silent[:MAX_SILENT_WORKERS]}
    return [each for each in devices if each.worker.alive or each.worker.name in names]


def hidden_text(devices: Sequence[DeviceWork]) -> str | None:
    """How many silent workers are not shown; ``None`` if all are."""
    hidden = len(devices) - len(shown_devices(devices))
    return f"and {hidden} more that are silent; they are listed for a day" if hidden else None


def device_row(device: DeviceWork, ids: Mapping[UUID, str]) -> tuple[object, ...]:
    """A worker as a table row. ``SINCE`` is how long its job has been running, or how long the worker is silent.

    :param ids: how ids are written; those that are missing are written in full.
    """
    worker, job = device.worker, device.job
    state = ("busy" if device.jobs else "idle") if worker.alive else "silent"
    if job is None:
        work = "a job of another producer" if device.jobs else ""
        return worker.name, state, work, "", "", "" if worker.alive else age_text(worker.seen_at), ""
    more = f" and {device.jobs - 1:,} more" if device.jobs > 1 else ""
    since = "" if job.started_at is None else age_text(job.started_at)
    left = time_text(progress_of(job).remaining)
    return worker.name, state, f"{job_text(job)}{more}", progress_text(job), left, since, ids.get(job.id, job.id)


def shortened(ledger: Ledger, devices: Sequence[DeviceWork], jobs: Sequence[JobRecord] = ()) -> dict[UUID, str]:
    """The short ids of the jobs that the workers run, and of others."""
    from longshore.producers.job_ids import short_ids

    records = [*(device.job for device in shown_devices(devices) if device.job is not None), *jobs]
    return short_ids(ledger, [record.id for record in records])


def device_document(device: DeviceWork, last_line: str | None) -> dict[str, object]:
    """A worker as a JSON document.

    :param last_line: of its log, if it is silent and ran on this machine.
    """
    return {**vars(worker_document(device)), "last_line": last_line}


def last_lines(devices: Sequence[DeviceWork], home: Path | None) -> dict[str, str]:
    """The last line of the log of each silent worker that ran in the home on this machine, by name."""
    here = socket.gethostname()
    silent = [each.worker.name for each in devices if not each.worker.alive and each.worker.host == here]
    line = None if home is None or not silent else last_line(home)
    return {} if line is None else dict.fromkeys(silent, line)


def last_line(home: Path) -> str | None:
    """The last line of the log of a home's workers that says why one has ended."""
    from longshore.broker.embedded.report import last_words

    return last_words(home, "workers")
