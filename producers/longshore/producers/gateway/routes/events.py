"""What happens to jobs, as server-sent events."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Final

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse

from longshore.producers.gateway.access.callers import Caller, needs
from longshore.producers.gateway.job_events import Seen, job_events
from longshore.producers.gateway.jobs import find_job
from longshore.producers.gateway.server_sent_events import EVENT_STREAM, EventStream
from longshore.shared.ledger.gateway.tokens import Scope

router = APIRouter(prefix="/jobs/{id}", tags=["jobs"])

_EXAMPLE: Final = 'id: 0\nevent: progress\ndata: {"id": "...", "state": "running", "done": 4096, "total": 100000}\n\n'


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Server-sent events.", "content": {EVENT_STREAM: {"example": _EXAMPLE}}},
        204: {"description": "The caller has seen the end of the job; `EventSource` does not connect again."},
    },
)
async def follow_job(
    id: str,
    caller: Annotated[Caller, needs(Scope.JOBS_READ)],
    last_event_id: Annotated[str | None, Header(description="The id of the event that was seen last.")] = None,
) -> Response:
    """Follow a job, as server-sent events, until it has ended.

    `progress` is how far the job is, now and after each change; `metrics` is a list of metrics that are new; `end` is
    the job when it has ended, and the last event. Who reads slowly misses progress, but no metrics and not the end.
    `EventSource` connects again by itself, at any gateway, and goes on with what is new.
    """
    job, record = await find_job(caller, id)
    seen = Seen.parse(last_event_id)
    if seen.has_end_of(record):
        return Response(status_code=204)
    events = job_events(job, seen)

    async def close() -> None:
        with suppress(RuntimeError):  # it waits for a change, and was cancelled
            await events.aclose()

    return EventStream(events, close)
