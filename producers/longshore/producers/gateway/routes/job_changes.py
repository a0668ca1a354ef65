"""Cancelling, retrying and extending jobs, and submitting the next job of a chain."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response

from longshore.producers.aio.job import AsyncJob
from longshore.producers.documents.jobs import JobDocument, job_document
from longshore.producers.gateway.access.addresses import check_data
from longshore.producers.gateway.access.callers import Caller, needs
from longshore.producers.gateway.access.models import check_job, check_options
from longshore.producers.gateway.answers import answer
from longshore.producers.gateway.bodies.chains import ExtendBody, RetryBody, ThenBody, ThenGenerate, ThenPromote
from longshore.producers.gateway.bodies.data import client_prompts
from longshore.producers.gateway.bodies.options import option_path
from longshore.producers.gateway.files.rows import is_file_id
from longshore.producers.gateway.jobs import find_job
from longshore.producers.gateway.problems import Problem
from longshore.producers.gateway.serving.idempotency import REPEATABLE, RepeatKey
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.gateway.tokens import Scope

router = APIRouter(prefix="/jobs/{id}", tags=["jobs"])
Writer = Annotated[Caller, needs(Scope.JOBS_WRITE)]


@router.post("/cancel", response_model=JobDocument, dependencies=[REPEATABLE])
async def cancel_job(id: str, caller: Writer) -> Response:
    """Cancel a job. Its finished rows stay. A job that has ended stays as it is."""
    job, _ = await find_job(caller, id)
    await job.cancel()
    return answer(job_document(await job.record()))


@router.post("/retry", response_model=JobDocument)
async def retry_job(id: str, caller: Writer, body: Annotated[RetryBody, Body()] = RetryBody()) -> Response:  # noqa: B008
    """Run the shards of a failed or cancelled job again that did not succeed."""
    job, record = await find_job(caller, id)
    check_job(caller, record)
    await caller.usage.admit()
    async with caller.usage.running_again(job.id):
        await job.retry(body.rows)
    return answer(job_document(await job.record()))


@router.post("/extend", status_code=201, response_model=JobDocument)
async def extend_job(id: str, caller: Writer, body: ExtendBody) -> Response:
    """Go on with a training for more epochs, in a new job, which makes a new version."""
    job, record = await find_job(caller, id)
    check_job(caller, record)
    await caller.usage.admit()
    return await _created(await job.extend(body.epochs))


@router.post("/then", status_code=201, response_model=JobDocument)
async def chain_job(id: str, caller: Writer, body: Annotated[ThenBody, Body()], key: RepeatKey) -> Response:
    """Submit a job that runs when this one has succeeded, on the version that this one has made or used.

    If this one fails or is cancelled, the rest of the chain ends with the same reason. `promote` also needs the scope
    `models:write`.
    """
    job, record = await find_job(caller, id)
    caller.check_model(record.model)
    check_options(caller, body.options)
    if isinstance(body, ThenPromote) and Scope.MODELS_WRITE not in caller.token.scopes:
        raise Problem(403, "forbidden", f"this token lacks the scope {Scope.MODELS_WRITE}")
    rows = 0
    if not isinstance(body, ThenPromote):
        if is_file_id(body.data):
            table = await caller.rows_of(str(body.data), body.options)
            options = {name: value for name, value in body.options.items() if name != "format"}
            body = body.model_copy(update={"data": table, "options": options})
        data = client_prompts(body.data, body.options.get("format")) if isinstance(body, ThenGenerate) else body.data
        check_data(data, body.options, caller.data)
        rows = body.rows()
    await caller.usage.admit(rows=rows)
    if key is not None:
        body = body.model_copy(update={"options": {"idempotency_key": key, **body.options}})
    try:
        link = await body.submit_after(job)
    except InvalidInput as error:
        raise option_path(error, body.options, body.kind) from None
    await caller.usage.submitted([link.id])
    return await _created(link)


async def _created(job: AsyncJob) -> Response:
    return answer(job_document(await job.record()), 201, {"Location": f"/v1/jobs/{job.id}"})
