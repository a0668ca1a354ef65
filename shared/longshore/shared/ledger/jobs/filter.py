"""Which jobs a list shows."""

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
