"""Waiting of coroutines for jobs over HTTP: requests that are answered when a job has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final
from uuid import UUID

from longshore.producers.http.aio.connection import AsyncGatewayConnection
from longshore.producers.http.connection import WAIT_OUTAGE_S, GatewayOutage
from longshore.producers.http.records import job_record
from longshore.producers.http.waiting import POLL_S, SHOWN_POLL_S
from longshore.producers.waiting import wait_timeout
from longshore.shared.errors import UnknownJob
from longshore.shared.ledger.records import JobRecord

#: Jobs that are waited for by a request each, which the gateway answers when the job has ended.
MAX_LONG_POLLS: Final = 128
#: Requests besides, of a second each, on which the others take turns.
MAX_TURNS: Final = 64


class JobWaits:
    """The waits of one client, in one event loop. If there are too many, those that have waited longest take turns: a
    job that has run for long goes on for a while, and most jobs that are new end soon.

    :param gateway: where the jobs are.
    """

    def __init__(self, gateway: AsyncGatewayConnection) -> None:
        self._gateway = gateway
        #: The long polls, the oldest first; each ends when its time is made to run out.
        self._long: dict[asyncio.Timeout, None] = {}
        self._turns = asyncio.Semaphore(MAX_TURNS)

    def outage(self) -> GatewayOutage:
        """How long the gateway may be away while somebody waits."""
        return self._gateway.outage(WAIT_OUTAGE_S)

    async def record(self, job: UUID, wait_s: float, outage: GatewayOutage) -> JobRecord:
        """The record of a job when it has ended, or after some seconds.

        :param wait_s: seconds, a few at most: others wait for their turn.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: the gateway is away for longer than ``outage`` says, or the client was closed.
        """
        async with self._gateway.until_closed(), self._turns:
            return await self._poll(job, wait_s, outage)

    async def wait_for_end(self, job: UUID, timeout: float | None) -> JobRecord:
        """The record of a job once it has ended.

        :param timeout: seconds; ``None`` waits forever.
        :raises WaitTimeout: it has not ended in time.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: the gateway cannot be reached for a minute, or the client was closed.
        """
        try:
            async with asyncio.timeout(timeout) as limit:
                return await self._end(job)
        except TimeoutError:
            if not limit.expired():
                raise
            raise wait_timeout([job]) from None

    async def wait_for_ends(self, jobs: Collection[UUID], timeout: float | None) -> None:
        """Until all the jobs have ended. A job that no longer exists counts as ended.

        :param timeout: seconds; ``None`` waits forever.
        :raises WaitTimeout: some have not ended in time.
        :raises ServiceUnavailable: as :meth:`wait_for_end`.
        """
        if not jobs:
            return
        tasks = {asyncio.create_task(self._end_if_there(job)): job for job in set(jobs)}
        try:
            done, left = await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
            if left:
                raise wait_timeout([tasks[task] for task in left])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # their connections are closed by then

    async def _end(self, job: UUID) -> JobRecord:
        outage = self.outage()
        record = await self._long_poll(job, outage)
        while record is None or not record.state.final:
            if len(self._long) < MAX_LONG_POLLS:
                record = await self._long_poll(job, outage)
            else:
                record = await self.record(job, SHOWN_POLL_S, outage)
        return record

    async def _long_poll(self, job: UUID, outage: GatewayOutage) -> JobRecord | None:
        """The record of a job once it has ended; ``None`` if others have taken its place."""
        if len(self._long) >= MAX_LONG_POLLS:
            oldest = next(iter(self._long))
            del self._long[oldest]
            oldest.reschedule(asyncio.get_running_loop().time())
        try:
            async with self._gateway.until_closed(), asyncio.timeout(None) as place:
                self._long[place] = None
                try:
                    while not (record := await self._poll(job, POLL_S, outage)).state.final:
                        pass
                    return record
                finally:
                    self._long.pop(place, None)
        except TimeoutError:
            if not place.expired():
                raise
            return None

    async def _poll(self, job: UUID, wait_s: float, outage: GatewayOutage) -> JobRecord:
        return job_record(await self._gateway.get(f"/jobs/{job}", {"wait": wait_s}, wait_s=wait_s, outage=outage))

    async def _end_if_there(self, job: UUID) -> None:
        try:
            await self._end(job)
        except UnknownJob:
            return
