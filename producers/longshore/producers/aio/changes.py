"""Waiting of coroutines for jobs: any number of them, by one task and one connection."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar
from uuid import UUID

from longshore.producers.aio.gathered import Gathered
from longshore.producers.aio.threads import Threads, client_closed
from longshore.producers.waiting import OUTAGE_TIMEOUT_S, RECONNECT_INTERVAL_S, wait_timeout
from longshore.shared.errors import ServiceUnavailable, UnknownJob
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.notifications import Heard
from longshore.shared.ledger.records import JobRecord

T = TypeVar("T")


class Changes:
    """Tells coroutines of one event loop when their jobs have changed, and when they have ended.

    It listens while somebody waits. However many jobs change at once, one query finds those that have ended.
    """

    def __init__(self, ledger: Ledger, threads: Threads) -> None:
        self._ledger = ledger
        self._threads = threads
        self._records: Gathered[UUID, JobRecord] = Gathered(threads, self._read)
        #: Those who wait for the end of a job.
        self._ends: defaultdict[UUID, set[asyncio.Future[None]]] = defaultdict(set)
        #: Those who wait for any change of a job.
        self._watchers: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._heard: asyncio.Queue[Heard] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    async def wait_for_ends(self, jobs: Collection[UUID], timeout: float | None) -> None:
        """Until all the jobs have ended. A job that no longer exists counts as ended.

        :param timeout: seconds; ``None`` waits forever.
        :raises WaitTimeout: some have not ended after ``timeout`` seconds.
        :raises ServiceUnavailable: Postgres could not be reached for :data:`OUTAGE_TIMEOUT_S` seconds, or the client
            was closed.
        """
        if not jobs:
            return
        loop = asyncio.get_running_loop()
        ends = {job: loop.create_future() for job in jobs}
        for job, end in ends.items():
            self._ends[job].add(end)
        try:
            self._look_at(set(ends))
            done, left = await asyncio.wait(ends.values(), timeout=timeout, return_when=asyncio.FIRST_EXCEPTION)
            for end in done:
                end.result()
            if left:
                raise wait_timeout([job for job, end in ends.items() if end in left])
        finally:
            for job, end in ends.items():
                end.cancel()
                _discard(self._ends, job, end)

    @contextmanager
    def watching(self, job: UUID) -> Iterator[asyncio.Event]:
        """An event that is set whenever the job may have changed."""
        changed = asyncio.Event()
        self._watchers[job].add(changed)
        try:
            self._look_at({job})
            yield changed
        finally:
            _discard(self._watchers, job, changed)

    async def record(self, job: UUID) -> JobRecord:
        """The record of a job. However many coroutines ask after a change, few queries are made.

        :raises UnknownJob: there is no such job.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        return await self._records.call(job)

    def _read(self, jobs: list[UUID]) -> list[JobRecord | Exception]:
        records = self._ledger.queries.some_jobs(list(set(jobs)))
        return [records.get(job) or UnknownJob("job", f"there is no job {job}") for job in jobs]

    async def close(self) -> None:
        """Stop listening. Those who still wait get a ServiceUnavailable, and so do those who come later."""
        self._is_closed = True
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
        self._records.close(client_closed())
        self._fail(client_closed())

    def _look_at(self, jobs: set[UUID]) -> None:
        """Have the task look at jobs, whether they have changed or not: they may have ended long ago."""
        if self._is_closed:
            raise client_closed()
        if self._task is None or self._task.done():
            self._heard = asyncio.Queue()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="longshore: changes of jobs")
        else:
            self._heard.put_nowait(jobs)

    async def _run(self) -> None:
        away_since: float | None = None
        while self._ends or self._watchers:
            try:
                async with self._listening():
                    await self._tell({*self._ends, *self._watchers})
                    away_since = None
                    while self._ends or self._watchers:
                        await self._tell(await self._next())
            except ServiceUnavailable as error:
                now = time.monotonic()
                away_since = now if away_since is None else away_since
                if now > away_since + OUTAGE_TIMEOUT_S:
                    self._fail(error)
                    away_since = None
                await asyncio.sleep(RECONNECT_INTERVAL_S)
            except Exception as error:
                self._fail(error)
                raise

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        heard = self._heard = asyncio.Queue()

        def tell(changed: Heard) -> None:
            loop.call_soon_threadsafe(heard.put_nowait, changed)

        listening = self._ledger.notifications.listening(tell)
        await self._threads.call(listening.__enter__)
        try:
            yield
        finally:
            listening.__exit__(None, None, None)

    async def _next(self) -> set[UUID]:
        """The jobs that have changed, all that are known by now."""
        heard = [await self._heard.get()]
        while not self._heard.empty():
            heard.append(self._heard.get_nowait())
        changed: set[UUID] = set()
        for each in heard:
            if isinstance(each, ServiceUnavailable):
                raise each
            changed |= each
        return changed

    async def _tell(self, changed: set[UUID]) -> None:
        for job in changed & self._watchers.keys():
            for event in self._watchers[job]:
                event.set()
        if waited_for := changed & self._ends.keys():
            going_on = await self._threads.call(self._ledger.queries.not_ended, list(waited_for))
            for job in waited_for - going_on:
                for end in self._ends.get(job, ()):
                    if not end.done():
                        end.set_result(None)

    def _fail(self, error: Exception) -> None:
        for end in [end for ends in self._ends.values() for end in ends]:
            if not end.done():
                end.set_exception(error)
        # They read their jobs, and get the error by that.
        for event in [event for events in self._watchers.values() for event in events]:
            event.set()


def _discard(waiting: defaultdict[UUID, set[T]], job: UUID, what: T) -> None:
    """Forget one of those who wait."""
    waiting[job].discard(what)
    if not waiting[job]:
        del waiting[job]
