"""Submitting, listing and showing jobs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response

from longshore.producers.documents.jobs import JobDocument, job_document
from longshore.producers.gateway.access.callers import Caller, needs
from longshore.producers.gateway.access.models import check_options, check_reference
from longshore.producers.gateway.answers import (
    DEFAULT_LIMIT,
    Cursor,
    Limit,
    Page,
    answer,
    read_cursor,
    write_cursor,
    wrong_cursor,
)
from longshore.producers.gateway.bodies.jobs import BatchBody, JobBody, TuneBody
from longshore.producers.gateway.bodies.options import option_path
from longshore.producers.gateway.jobs import find_job, list_jobs
from longshore.producers.gateway.serving.idempotency import RepeatKey
from longshore.producers.requests import Request, with_key
from longshore.shared.errors import InvalidInput, WaitTimeout
from longshore.shared.ledger.gateway.tokens import Scope
from longshore.shared.ledger.records import JobRecord
from longshore.shared.vocabulary import JobKind, State

router = APIRouter(prefix="/jobs", tags=["jobs"])

#: Seconds for which a request may wait for the end of a job, at most.
MAX_WAIT_S: Final = 60.0
#: The field of an error of one of several requests, as the client names it.
_NUMBERED: Final = re.compile(r"requests\[(\d+)\]\.(.+)", re.DOTALL)
_LOCATION: Final = {"Location": {"description": "The URL of the job.", "schema": {"type": "string"}}}


@router.post("", status_code=201, response_model=JobDocument, responses={201: {"headers": _LOCATION}})
async def submit_job(
    body: Annotated[JobBody, Body()], caller: Annotated[Caller, needs(Scope.JOBS_WRITE)], key: RepeatKey
) -> Response:
    """Submit a job. When this answers, the job is durable.

    The fields and options of each `kind` are those of the client's method of the same name.
    """
    record = await _submit_one(caller, body, key)
    return answer(job_document(record), 201, {"Location": f"/v1/jobs/{record.id}"})


@router.post("/batch", status_code=201, response_model=Page[JobDocument])
async def submit_jobs(body: BatchBody, caller: Annotated[Caller, needs(Scope.JOBS_WRITE)], key: RepeatKey) -> Response:
    """Submit many jobs in one transaction: all of them are durable, or none is.

    The jobs are in the order of the requests. An error names the request: `requests[7].options.batch_size`.
    """
    records = await _submit_many(caller, body.requests, key)
    return answer(Page(data=[job_document(record) for record in records], has_more=False, next=None), 201)


@router.get("", response_model=Page[JobDocument])
async def show_jobs(
    caller: Annotated[Caller, needs(Scope.JOBS_READ)],
    state: Annotated[Sequence[State], Query(description="Only jobs in this state; repeatable.")] = (),
    kind: Annotated[Sequence[JobKind], Query(description="Only jobs of this kind; repeatable.")] = (),
    model: Annotated[
        str | None,
        Query(description="Only jobs of this model; with `digits:3`, those that have run or made that version."),
    ] = None,
    since: Annotated[
        str | None, Query(description="Only jobs of at most this age, such as `30m`, `2h` or `7d`.")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """List jobs, newest first. Jobs that are submitted meanwhile do not change the pages that follow."""
    before = None if cursor is None else _job_of(cursor)
    records = await list_jobs(
        caller, states=state, kinds=kind, model=model, since=since, before=before, limit=limit + 1
    )
    data, has_more = records[:limit], len(records) > limit
    cursor = write_cursor((str(data[-1].id),)) if has_more else None
    return answer(Page(data=[job_document(record) for record in data], has_more=has_more, next=cursor))


@router.get("/{id}", response_model=JobDocument)
async def show_job(
    id: str,
    caller: Annotated[Caller, needs(Scope.JOBS_READ)],
    wait: Annotated[
        float,
        Query(ge=0, le=MAX_WAIT_S, allow_inf_nan=False, description="Seconds to wait for the end of the job, at most."),
    ] = 0.0,
) -> Response:
    """Show a job. With `wait` it answers when the job has ended, or after that time, whatever its state."""
    job, record = await find_job(caller, id)
    if wait and not record.state.final:
        with suppress(WaitTimeout):
            await caller.client.wait([job], wait)
        record = await job.record()
    return answer(job_document(record))


def _check_models(caller: Caller, body: JobBody) -> None:
    check_reference(caller, body.model)
    check_options(caller, body.options)
    if isinstance(body, TuneBody) and isinstance(body.space, dict):
        check_options(caller, body.space)


async def _submit_one(caller: Caller, body: JobBody, key: str | None) -> JobRecord:
    _check_models(caller, body)
    try:
        job = await caller.submit(with_key(body.request(), key))
    except InvalidInput as error:
        raise option_path(error, body.options, body.kind) from None
    return await job.record()


async def _submit_many(caller: Caller, bodies: Sequence[JobBody], key: str | None) -> list[JobRecord]:
    requests: list[Request] = []
    for number, body in enumerate(bodies):
        try:
            _check_models(caller, body)
            requests.append(with_key(body.request(), key and f"{key}/{number}"))
        except InvalidInput as error:
            raise type(error)(f"requests[{number}].{error.field}", error.reason) from None
    try:
        jobs = await caller.submit_many(requests)
    except InvalidInput as error:
        raise _numbered(error, bodies) from None
    ids = [job.id for job in jobs]
    records = await caller.client.call(lambda client: client.ledger.queries.some_jobs(ids))
    return [records[id_] for id_ in ids]


def _numbered(error: InvalidInput, bodies: Sequence[JobBody]) -> InvalidInput:
    """An error of one of several requests, with the path of its option."""
    match = _NUMBERED.fullmatch(error.field)
    if match is None and len(bodies) > 1:
        return error
    number, field = (0, error.field) if match is None else (int(match[1]), match[2])
    inner = option_path(type(error)(field, error.reason), bodies[number].options, bodies[number].kind)
    return type(error)(f"requests[{number}].{inner.field}", error.reason)


def _job_of(cursor: str) -> UUID:
    match read_cursor(cursor):
        case (str(id),):
            with suppress(ValueError):
                return UUID(id)
    raise wrong_cursor()
