"""Which jobs a list shows, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from longshore.shared.vocabulary import State


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs are listed: those that have everything that is set."""

    #: Empty: any state.
    states: frozenset[State] = frozenset()
    #: Empty: any kind.
    kinds: frozenset[str] = frozenset()
    model: str | None = None
    #: The version that the job runs or, for a training, has made.
    version: int | None = None
    producer: str | None = None
    #: Submitted at this time or later; with a time zone.
    since: datetime | None = None
    #: Submitted before this job.
    before: UUID | None = None


ALL_JOBS: Final = JobFilter()

#: What jobs can be sorted by: the columns of their list.
SORT_KEYS: Final = (
    *("job", "id", "kind", "model", "state", "done", "progress", "left", "took", "failed", "speed", "tokens"),
    *("priority", "producer", "queue", "shards", "extends", "submitted", "started", "ended", "error", "age"),
)


@dataclass(frozen=True, kw_only=True)
class JobOrder:
    """In which order jobs are listed. Those without a value come last, and of equal ones the newest first."""

    #: One of :data:`SORT_KEYS`; by anything else, all are equal.
    key: str
    #: From the largest value to the smallest.
    descending: bool = False
