"""The client over HTTP, for asyncio."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from longshore.producers.aio.client import AsyncClient
from longshore.producers.aio.job import AsyncJob
from longshore.producers.aio.threads import Threads
from longshore.producers.http.aio.connection import AsyncGatewayConnection
from longshore.producers.http.aio.job import wrap
from longshore.producers.http.aio.waiting import JobWaits
from longshore.producers.http.client import HttpClient
from longshore.producers.job import Job
from longshore.producers.requests import Request
from longshore.shared.errors import ResultsPruned, WaitTimeout
from longshore.shared.ledger.queries import Outcome, ResultRecord, RowErrorRecord

#: Calls that are made at the same time, in a thread each.
MAX_CALLS: Final = 32
#: Errors of rows that an outcome has.
MAX_ERRORS: Final = 1_000_000


class AsyncHttpClient(AsyncClient):
    """A producer's connection to a gateway: what ``AsyncClient("https://...", token=...)`` makes. Each method is
    described at :class:`AsyncClient`, and raises what it raises there; an InvalidInput of ``token`` if the token does
    not do.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        redis_url: str | None = None,
        database_url: str | None = None,
        store: str | None = None,
        home: str | os.PathLike[str] | None = None,
        producer: str | None = None,
    ) -> None:
        self._client: HttpClient = HttpClient(url, token=token)
        self._threads = Threads(MAX_CALLS)
        self._gateway = AsyncGatewayConnection(self._client._connection)
        self._waits = JobWaits(self._gateway)

    async def submit(self, request: Request) -> AsyncJob:
        """See :meth:`AsyncClient.submit`. The gateway commits the small requests of one moment together."""
        return (await self.submit_many([request]))[0]

    async def wait(self, jobs: Sequence[AsyncJob], timeout: float | None = None) -> None:
        """See :meth:`Client.wait`."""
        await self._waits.wait_for_ends([job.id for job in jobs], timeout)

    async def outcome(self, job: AsyncJob) -> Outcome:
        """See :meth:`AsyncClient.outcome`."""
        record = await job.record()
        if not record.state.final:
            raise WaitTimeout(f"job {record.id} has not ended")
        if record.pruned_at is not None:
            raise ResultsPruned("job", f"the results of job {record.id} were removed")
        errors = await job.errors(MAX_ERRORS, -1) if record.rows_failed else []
        return Outcome(
            job=record.id,
            state=record.state,
            model=record.model,
            version=record.version,
            rows_total=record.rows_total,
            rows_failed=record.rows_failed,
            pruned=False,
            results=[
                ResultRecord(row.row, json.dumps(row.output), None if row.key is None else json.dumps(row.key))
                async for row in job.stream()
            ],
            errors=[
                RowErrorRecord(error.row, error.message, None if error.key is None else json.dumps(error.key))
                for error in errors
                if error.row is not None
            ],
        )

    async def warm_up(self, model: str | None = None) -> None:
        """See :meth:`Client.warm_up`."""
        await self._threads.call(self._client.warm_up, model)
        await self._gateway.get("/jobs", {"limit": 1}, outage=self._waits.outage())

    async def upload_file(self, path: str | os.PathLike[str], *, expires_after: str | timedelta | None = None) -> str:
        """See :meth:`HttpClient.upload_file`. Only over HTTP."""
        return await self._threads.call(self._client.upload_file, path, expires_after=expires_after)

    async def close(self) -> None:
        """See :meth:`AsyncClient.close`."""
        await self._gateway.close()
        await self._threads.close()
        await asyncio.to_thread(self._client.close)

    def _of(self, job: Job) -> AsyncJob:
        return wrap(job, self._threads, self._gateway, self._waits)
