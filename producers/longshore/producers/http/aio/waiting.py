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

#: Requests that wait at the same time, each as long as the gateway lets it; each has a connection.
MAX_LONG_POLLS: Final = 192
#: Requests besides: if more jobs are waited for, they take turns here, a second each.
MAX_TURNS: Final = 64


class JobWaits:
    """The waits of one client, in one event loop.

    :param gateway: where the jobs are.
    """

    def __init__(self, gateway: AsyncGatewayConnection) -> None:
        self._gateway = gateway
        self._long = asyncio.Semaphore(MAX_LONG_POLLS)
        self._turns = asyncio.Semaphore(MAX_TURNS)

    def outage(self) -> GatewayOutage:
        """How long the gateway may be away while somebody waits."""
        return self._gateway.outage(WAIT_OUTAGE_S)

    async def record(self, job: UUID, wait_s: float, outage: GatewayOutage) -> JobRecord:
        """The record of a job when it has ended, or after some seconds.

        :param wait_s: seconds, at most. It is a second if many jobs are waited for.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: the gateway is away for longer than ``outage`` says, or the client was closed.
        """
        is_crowded = self._long.locked()
        async with self._gateway.until_closed(), self._turns if is_crowded else self._long:
            wait_s = min(wait_s, SHOWN_POLL_S) if is_crowded else wait_s
            return job_record(await self._gateway.get(f"/jobs/{job}", {"wait": wait_s}, wait_s=wait_s, outage=outage))

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
        while not (record := await self.record(job, POLL_S, outage)).state.final:
            pass
        return record

    async def _end_if_there(self, job: UUID) -> None:
        try:
            await self._end(job)
        except UnknownJob:
            return
