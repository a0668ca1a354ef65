"""Finding the job that a path names, and answering with jobs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from longshore.producers.aio.job import AsyncJob
from longshore.producers.client import Client
from longshore.producers.gateway.access.callers import Caller
from longshore.producers.job_filter import job_filter
from longshore.shared.errors import UnknownJob
from longshore.shared.ledger.records import JobRecord

_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


async def find_job(caller: Caller, id: str) -> tuple[AsyncJob, JobRecord]:
    """A job of the caller's producer, and its record.

    :param id: the whole id.
    :raises UnknownJob: there is none, or it is another producer's.
    """
    if not _ID.fullmatch(id):
        raise UnknownJob(
            "job", f"{id[:80]!r} is no id of a job; one is as long as 01890a5d-ac96-774b-bcce-b302099a8057"
        )
    job = await caller.client.job(UUID(id))
    record = await job.record()
    if record.producer != caller.producer:
        raise UnknownJob("job", f"there is no job {record.id}")
    return job, record


async def list_jobs(
    caller: Caller,
    *,
    states: Sequence[str],
    kinds: Sequence[str],
    model: str | None,
    since: str | timedelta | None,
    before: UUID | None,
    limit: int,
) -> list[JobRecord]:
    """The newest jobs of the caller's producer that have everything that is set.

    :raises InvalidInput: a value is wrong; names it.
    """

    def read(client: Client) -> list[JobRecord]:
        chosen = job_filter(
            client.ledger,
            states=states,
            kinds=kinds,
            model=model,
            producer=caller.producer,
            since=since,
            before=before,
        )
        return client.ledger.queries.jobs(chosen, limit)

    return await caller.client.call(read)
