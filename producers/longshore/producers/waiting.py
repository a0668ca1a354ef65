"""Waiting for jobs to end, by listening for notifications from Postgres."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from uuid import UUID

from longshore.shared.errors import ServiceUnavailable, WaitTimeout
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.notifications import JobWatch
from longshore.shared.ledger.records import JobRecord

#: Seconds for which Postgres may be unreachable before waiting fails.
OUTAGE_TIMEOUT_S = 60.0
#: Seconds between two attempts to reconnect.
RECONNECT_INTERVAL_S = 0.5


def wait_timeout(jobs: Collection[UUID]) -> WaitTimeout:
    """The error for jobs that have not ended in time."""
    if len(jobs) == 1:
        return WaitTimeout(f"job {next(iter(jobs))} has not ended; it goes on running")
    return WaitTimeout(f"{len(jobs):,} jobs have not ended; they go on running")


def wait_for(ledger: Ledger, job: UUID, timeout: float | None, on_change: Callable[[JobRecord], None]) -> JobRecord:
    """Wait until a job has ended.

    :param timeout: seconds; ``None`` waits forever.
    :param on_change: is called with the job's record at the start and after each change.
    :returns: the record of the ended job.
    :raises WaitTimeout: the job has not ended after ``timeout`` seconds.
    """

    ended: list[JobRecord] = []

    def check(pending: set[UUID]) -> set[UUID]:
        record = ledger.queries.job(job)
        on_change(record)
        if record.state.final:
            ended.append(record)
        return pending if ended else set()

    _wait(ledger, {job}, timeout, check)
    return ended[0]


def wait_all(
    ledger: Ledger, jobs: Sequence[UUID], timeout: float | None, on_end: Callable[[UUID], None] | None = None
) -> None:
    """Wait until all the jobs have ended.

    :param timeout: seconds; ``None`` waits forever.
    :param on_end: is called with each job once it has ended.
    :raises WaitTimeout: some jobs have not ended after ``timeout`` seconds.
    """

    def check(pending: set[UUID]) -> set[UUID]:
        # A job that no longer exists counts as ended.
        ended = pending - ledger.queries.not_ended(list(pending))
        if on_end is not None:
            for job in sorted(ended):
                on_end(job)
        return ended

    _wait(ledger, set(jobs), timeout, check)


def _wait(ledger: Ledger, pending: set[UUID], timeout: float | None, check: Callable[[set[UUID]], set[UUID]]) -> None:
    """Call ``check``, which returns the jobs that have ended, at the start and after each notification."""
    deadline = None if timeout is None else time.monotonic() + timeout
    away_since: float | None = None
    while pending:
        try:
            with ledger.notifications.jobs() as watch:
                pending -= check(pending)
                away_since = None
                while pending:
                    pending -= check(_changed(watch, pending, deadline))
        except ServiceUnavailable:
            now = time.monotonic()
            away_since = now if away_since is None else away_since
            if now > min(away_since + OUTAGE_TIMEOUT_S, float("inf") if deadline is None else deadline):
                raise
            time.sleep(RECONNECT_INTERVAL_S)


def _changed(watch: JobWatch, pending: set[UUID], deadline: float | None) -> set[UUID]:
    while True:
        changed = watch.changed(deadline)
        if changed & pending:
            return changed & pending
        if deadline is not None and time.monotonic() >= deadline:
            raise wait_timeout(pending)
