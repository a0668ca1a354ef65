"""Waiting for jobs to end, by listening."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from uuid import UUID

from longshore.shared.errors import ServiceUnavailable, WaitTimeout
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.notifications import JobWatch
from longshore.shared.ledger.records import JobRecord

#: Seconds an outage of Postgres is waited out before waiting is given up.
PATIENCE = 60.0
#: Seconds between two tries to reach it again.
PAUSE = 0.5


def wait_for(ledger: Ledger, job: UUID, timeout: float | None, show: Callable[[JobRecord], None]) -> JobRecord:
    """Wait for one job, showing it whenever it changes.

    :raises WaitTimeout: it has not ended after ``timeout`` seconds.
    """

    ended: list[JobRecord] = []

    def look(pending: set[UUID]) -> set[UUID]:
        record = ledger.queries.job(job)
        show(record)
        if record.state.final:
            ended.append(record)
        return pending if ended else set()

    _wait(ledger, {job}, timeout, look)
    return ended[0]


def wait_all(ledger: Ledger, jobs: Sequence[UUID], timeout: float | None) -> None:
    """Wait for all of many jobs.

    :raises WaitTimeout: some have not ended after ``timeout`` seconds.
    """

    def look(pending: set[UUID]) -> set[UUID]:
        # A job that is not there any more has ended too.
        return pending - ledger.queries.not_ended(list(pending))

    _wait(ledger, set(jobs), timeout, look)


def _wait(ledger: Ledger, pending: set[UUID], timeout: float | None, look: Callable[[set[UUID]], set[UUID]]) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    reached = time.monotonic()
    while pending:
        try:
            with ledger.watching.jobs() as watch:
                pending -= look(pending)
                reached = time.monotonic()
                while pending:
                    pending -= look(_changed(watch, pending, deadline))
                    reached = time.monotonic()
        except ServiceUnavailable:
            if time.monotonic() > min(reached + PATIENCE, deadline or float("inf")):
                raise
            time.sleep(PAUSE)


def _changed(watch: JobWatch, pending: set[UUID], deadline: float | None) -> set[UUID]:
    while True:
        changed = watch.changed(deadline)
        if changed & pending:
            return changed & pending
        if deadline is not None and time.monotonic() >= deadline:
            raise WaitTimeout(f"{len(pending)} jobs have not ended; they go on")
