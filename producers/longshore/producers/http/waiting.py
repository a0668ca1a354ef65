"""Waiting for jobs over HTTP: requests that are answered when a job has ended."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID

from longshore.producers.http.connection import WAIT_OUTAGE_S, GatewayConnection
from longshore.producers.http.records import job_record
from longshore.producers.waiting import wait_timeout
from longshore.shared.errors import LongshoreError, ServiceUnavailable, UnknownJob, WaitTimeout
from longshore.shared.ledger.records import JobRecord

#: Seconds for which one request waits, at most.
POLL_S: Final = 50.0
#: The same, where the progress is shown, and where other jobs wait for their turn.
SHOWN_POLL_S: Final = 1.0
#: Requests that wait at the same time, of one call.
POLLS: Final = 16


def wait_for_end(
    connection: GatewayConnection,
    job: UUID,
    timeout: float | None,
    on_change: Callable[[JobRecord], None],
    poll_s: float = POLL_S,
) -> JobRecord:
    """Wait until a job has ended. A gateway that is away for a minute does not matter.

    :param on_change: is called with each record that is read.
    :raises WaitTimeout: it has not ended in time.
    :raises UnknownJob: the job no longer exists.
    :raises ServiceUnavailable: the gateway cannot be reached for a minute.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    outage = connection.outage(WAIT_OUTAGE_S, deadline)
    while True:
        try:
            record = _poll(connection, job, _left(poll_s, deadline))
        except ServiceUnavailable:
            if not outage.pause(None):
                raise
            continue
        outage.over()
        on_change(record)
        if record.state.final:
            return record
        if deadline is not None and time.monotonic() >= deadline:
            raise wait_timeout([job])


def _poll(connection: GatewayConnection, job: UUID, wait_s: float) -> JobRecord:
    return job_record(connection.get(f"/jobs/{job}", {"wait": wait_s}, wait_s=wait_s))


def _left(wait_s: float, deadline: float | None) -> float:
    return wait_s if deadline is None else max(min(wait_s, deadline - time.monotonic()), 0.0)


class _JobWaits:
    """Waits for many jobs, some at the same time."""

    def __init__(self, connection: GatewayConnection, jobs: Sequence[UUID], deadline: float | None) -> None:
        self._connection = connection
        self._left = deque(jobs)
        self._poll_s = POLL_S if len(jobs) <= POLLS else SHOWN_POLL_S
        self._deadline = deadline
        self._stopped = threading.Event()
        self.ended: queue.SimpleQueue[UUID | LongshoreError] = queue.SimpleQueue()

    def run(self) -> None:
        """Wait for one job after the other, until none is left."""
        outage = self._connection.outage(WAIT_OUTAGE_S, self._deadline)
        while not self._stopped.is_set():
            try:
                job = self._left.popleft()
            except IndexError:
                return
            try:
                if self._has_ended(job):
                    self.ended.put(job)
                else:
                    self._left.append(job)
                outage.over()
            except ServiceUnavailable as error:
                self._left.append(job)
                if not outage.pause(None):
                    self.ended.put(error)
                    return
            except LongshoreError as error:
                self.ended.put(error)
                return

    def stop(self) -> None:
        """End soon."""
        self._stopped.set()

    def _has_ended(self, job: UUID) -> bool:
        wait_s = _left(self._poll_s, self._deadline)
        try:
            if _poll(self._connection, job, wait_s).state.final:
                return True
        except UnknownJob:
            return True  # as if it had ended
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise WaitTimeout
        return False


def wait_for_all(
    connection: GatewayConnection, jobs: Sequence[UUID], timeout: float | None, on_end: Callable[[UUID], None]
) -> None:
    """Wait until all the jobs have ended.

    :param on_end: is called with each job once it has ended.
    :raises WaitTimeout: some have not ended in time.
    """
    watch = _JobWaits(connection, jobs, None if timeout is None else time.monotonic() + timeout)
    count = min(POLLS, len(jobs))
    threads = [threading.Thread(target=watch.run, name="waits for jobs", daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    left = set(jobs)
    try:
        while left:
            ended = watch.ended.get()
            if isinstance(ended, WaitTimeout):
                with suppress(queue.Empty):
                    while True:
                        late = watch.ended.get_nowait()
                        if isinstance(late, UUID):
                            left.discard(late)
                            on_end(late)
                if not left:
                    return
                raise wait_timeout(left)
            if isinstance(ended, LongshoreError):
                raise ended
            left.discard(ended)
            on_end(ended)
    finally:
        watch.stop()
