"""A job over HTTP, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable

from longshore.producers.aio.job import AsyncJob
from longshore.producers.aio.threads import Threads
from longshore.producers.http.aio.connection import AsyncGatewayConnection
from longshore.producers.http.aio.waiting import JobWaits
from longshore.producers.http.connection import WAIT_OUTAGE_S, Cut
from longshore.producers.http.job import HttpJob
from longshore.producers.http.streams import LogStream, RowStream
from longshore.producers.http.then import HttpThen, MakeBody
from longshore.producers.http.waiting import SHOWN_POLL_S
from longshore.producers.job import Job
from longshore.producers.job_errors import raise_failure
from longshore.producers.logs import LogLine
from longshore.producers.results import ResultRow, check_in_table, key_columns_of
from longshore.producers.then import Then
from longshore.shared.ledger.records import JobRecord
from longshore.shared.vocabulary import State


class AsyncHttpJob(AsyncJob):
    """A job behind a gateway. Each method is described at :class:`AsyncJob`, and raises what it raises there."""

    def __init__(self, job: HttpJob, threads: Threads, gateway: AsyncGatewayConnection, waits: JobWaits) -> None:
        self._job: HttpJob = job
        self._threads = threads
        self._gateway = gateway
        self._waits = waits

    async def wait(self, timeout: float | None = None) -> AsyncJob:
        """See :meth:`AsyncJob.wait`."""
        record = await self._waits.wait_for_end(self.id, timeout)
        self._job._ended(record)
        if record.state is not State.SUCCEEDED:
            await self._threads.call(raise_failure, record, self._job._first_error)
        return self

    async def records(self) -> AsyncGenerator[JobRecord, None]:
        """See :meth:`AsyncJob.records`. It asks once a second, and is told of the end at once."""
        outage, last = self._waits.outage(), None
        record = await self._waits.record(self.id, 0.0, outage)
        while True:
            if record != last:
                yield record
            if record.state.final:
                return
            last, record = record, await self._waits.record(self.id, SHOWN_POLL_S, outage)

    async def stream(self) -> AsyncGenerator[ResultRow, None]:
        """See :meth:`Job.stream`. A stream that is cut goes on after its last row."""
        record = await self.record()
        check_in_table(record)
        rows, outage = RowStream(key_columns_of(record)), self._gateway.outage(WAIT_OUTAGE_S)
        while True:
            try:
                async with self._gateway.lines(self._job._path("results"), rows.query) as lines:
                    async for line in lines:
                        row = rows.read(line)
                        outage.over()
                        yield row
                return
            except Cut as error:
                await self._gateway.pause(outage, str(error))

    async def logs(
        self, *, shard: int | None = None, attempt: int | None = None, follow: bool = False
    ) -> AsyncGenerator[LogLine, None]:
        """See :meth:`Job.logs`."""
        logs, outage = LogStream(shard, attempt, follow), self._gateway.outage(WAIT_OUTAGE_S)
        while True:
            try:
                async with self._gateway.lines(self._job._path("logs"), logs.begin()) as lines:
                    outage.over()
                    async for text in lines:
                        if (line := logs.read(text)) is not None:
                            yield line
                return
            except Cut as error:
                await self._gateway.pause(outage, str(error))

    @property
    def then(self) -> Then[Awaitable[AsyncJob]]:
        """See :attr:`AsyncJob.then`."""
        then = self._job.then
        assert isinstance(then, HttpThen)  # a client over HTTP has made it

        async def send_in_thread(body: MakeBody) -> AsyncJob:
            return self._of(await self._threads.call(then.send, body))

        return HttpThen(send_in_thread, then.upload)

    def _of(self, job: Job) -> AsyncJob:
        return wrap(job, self._threads, self._gateway, self._waits)


def wrap(job: Job, threads: Threads, gateway: AsyncGatewayConnection, waits: JobWaits) -> AsyncHttpJob:
    """A job of the client that blocks, for asyncio."""
    assert isinstance(job, HttpJob)  # a client over HTTP has made it
    return AsyncHttpJob(job, threads, gateway, waits)
