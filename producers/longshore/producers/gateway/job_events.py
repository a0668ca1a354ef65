"""The events of a job, as a caller follows them: progress, metrics, end.

They are read from the ledger, which remembers no events: who comes back is told what is new since the event that it has
seen last, and whether the job has ended. The id of an event says what was seen: the time of the newest metric and, of
the end, when the job has ended.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from longshore.producers.aio.job import AsyncJob
from longshore.producers.documents.jobs import job_document, progress_document
from longshore.producers.documents.json_text import to_json
from longshore.producers.gateway.server_sent_events import event
from longshore.shared.ledger.records import JobRecord, MetricRecord
from longshore.shared.vocabulary import JobKind

#: Seconds between two events of progress, at least. Changes between them are left out.
MIN_INTERVAL_S: Final = 0.25
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ID: Final = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)
#: Kinds of jobs that report metrics while they run.
_WITH_METRICS: Final = frozenset({JobKind.TRAIN, JobKind.TUNE, JobKind.CROSS_VALIDATE})


@dataclass(frozen=True)
class Seen:
    """What a caller has seen of a job. Times are in microseconds since 1970."""

    #: When the newest metric was recorded; 0 if there was none.
    metrics: int = 0
    #: When the job has ended.
    end: int | None = None

    @classmethod
    def parse(cls, id: str | None) -> Seen:
        """What the id of an event says; nothing, if it is none of ours."""
        match = None if id is None else _ID.fullmatch(id)
        if match is None:
            return cls()
        return cls(int(match[1]), None if match[2] is None else int(match[2]))

    def __str__(self) -> str:
        return str(self.metrics) if self.end is None else f"{self.metrics}-{self.end}"

    def has_end_of(self, record: JobRecord) -> bool:
        """Whether the job has ended, and that was seen."""
        return record.state.final and record.finished_at is not None and self.end == _micros(record.finished_at)


async def job_events(job: AsyncJob, seen: Seen) -> AsyncGenerator[bytes, None]:
    """The events after those that were seen, until the job has ended.

    :raises UnknownJob: the job no longer exists.
    :raises ServiceUnavailable: Postgres cannot be reached.
    """
    newest, shown = seen.metrics, ""
    async with aclosing(job.records()) as records:
        async for record in records:
            if record.kind in _WITH_METRICS and (metrics := _newer(await job.metrics(), newest)):
                newest = max(_micros(metric.recorded_at) for metric in metrics)
                yield _event("metrics", Seen(newest), metrics)
            progress = progress_document(record)
            if to_json(progress) != shown:
                yield _event("progress", Seen(newest), progress)
                shown = to_json(progress)
            if record.state.final:
                end = None if record.finished_at is None else _micros(record.finished_at)
                yield _event("end", Seen(newest, end), job_document(record))
                return
            # What changes meanwhile is read together.
            await asyncio.sleep(MIN_INTERVAL_S)


def _newer(metrics: list[MetricRecord], newest: int) -> list[MetricRecord]:
    return [metric for metric in metrics if _micros(metric.recorded_at) > newest]


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _event(name: str, seen: Seen, document: object) -> bytes:
    return f"id: {seen}\n".encode() + event(name, document)
