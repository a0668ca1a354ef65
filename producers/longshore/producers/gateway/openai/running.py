"""Runs a request of OpenAI's API as a job, and waits for its outputs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar
from uuid import UUID

from fastapi import Request

from longshore.producers.aio.job import AsyncJob
from longshore.producers.gateway.access.callers import Caller
from longshore.producers.gateway.openai.errors import NO_RETRY, invalid, invalid_input
from longshore.producers.gateway.openai.requests import Embedding, Generation
from longshore.producers.gateway.openai.responses import Origin, Output
from longshore.producers.gateway.predictions import MAX_ROW_ERRORS
from longshore.producers.gateway.problems import Problem, problem_of
from longshore.producers.gateway.state import gateway_of
from longshore.producers.options.keywords import GenerateOptions
from longshore.producers.requests import Generate, Infer
from longshore.shared.errors import InvalidInput, JobFailed, LongshoreError, WaitTimeout
from longshore.shared.references import ModelReference
from longshore.shared.specs.signature import Signature
from longshore.shared.vocabulary import State

T = TypeVar("T")


async def run(request: Request, caller: Caller, asked: Generation | Embedding) -> tuple[Sequence[Output], Origin]:
    """The outputs of the rows of a request, in their order, and where they come from.

    :raises Problem: the version cannot do it, a row has an error, or the job takes too long.
    """
    caller.check_model(asked.reference.name)
    job = await _submit(caller, asked)
    timeout_s = gateway_of(request).options.answer_timeout_s
    return await _while_connected(request, job, _outputs(caller, job, asked, timeout_s))


async def _submit(caller: Caller, asked: Generation | Embedding) -> AsyncJob:
    if isinstance(asked, Embedding):
        with parameters_of(asked):
            model = await embedding_version(caller, asked.reference)
            return await caller.submit(
                Infer(model, list(asked.texts), counts_tokens=True, max_row_errors=MAX_ROW_ERRORS)
            )
    with parameters_of(asked):
        return await caller.submit(Generate(asked.body.model, list(asked.rows), options_of(asked)))


def options_of(asked: Generation) -> GenerateOptions:
    """The options of the job of one request. An error of a row is one of the request, and not of the job."""
    return {**asked.options, "max_row_errors": MAX_ROW_ERRORS}


@contextmanager
def parameters_of(asked: Generation | Embedding) -> Iterator[None]:
    """Name the parameters of a request in the errors of its options.

    :raises Problem: 400; the client refuses one.
    """
    try:
        yield
    except InvalidInput as error:
        if problem_of(error).code != "invalid_input":
            raise
        raise invalid_input(error, asked.names) from None


async def embedding_version(caller: Caller, reference: ModelReference) -> str:
    """The version that a reference names, such as ``encoder:3``.

    :raises Problem: 400; it does not embed texts.
    """
    version = await caller.client.models.get(str(reference))
    name = f"{version.model}:{version.version}"
    signature = Signature.model_validate(version.manifest["signature"])
    if signature.task == "generation":
        raise invalid("model", f"{name} is a language model, and embeds no texts; use /v1/chat/completions")
    if signature.task != "embedding" or not signature.is_text:
        raise invalid("model", f"{name} embeds no texts: its task is {signature.task}; use /v1/models/{name}/predict")
    return name


async def _outputs(
    caller: Caller, job: AsyncJob, asked: Generation | Embedding, timeout_s: float
) -> tuple[Sequence[Output], Origin]:
    try:
        await caller.client.wait([job], timeout_s)
    except WaitTimeout:
        raise Problem(
            504,
            "timeout",
            f"no answer after {timeout_s:g} seconds; the job {job.id} goes on: read its results at "
            f"/v1/jobs/{job.id}/results, or cancel it",
            headers=NO_RETRY,
        ) from None
    outcome = await caller.client.outcome(job)
    if outcome.state is not State.SUCCEEDED:
        try:
            await job.wait()
        except JobFailed as error:
            raise job_failure(error) from None
    for failed in outcome.errors:
        raise row_failure(asked, failed.row, failed.error)
    outputs = {record.row: json.loads(record.output) for record in outcome.results}
    return [outputs[row] for row in sorted(outputs)], origin_of(outcome.job, outcome.model, outcome.version)


def origin_of(job: UUID, model: str, version: int | None) -> Origin:
    """Where the answers of a job come from."""
    return Origin(job.hex, (job.int >> 80) // 1000, f"{model}:{version}")


def job_failure(error: JobFailed) -> Problem:
    """The answer to a request whose job has failed as a whole."""
    problem = problem_of(error)
    return Problem(problem.status, problem.code, str(error), headers=NO_RETRY)


def row_failure(asked: Generation | Embedding, row: int, message: str) -> Problem:
    """The answer to a request one of whose rows cannot be run, such as a prompt that is too long."""
    several = isinstance(asked, Embedding) or len(asked.rows) > 1
    param = "input" if isinstance(asked, Embedding) else "prompt" if several else None
    detail = message if param is None else f"{param}[{row}]: {message}"
    errors = [] if param is None else [(f"{param}[{row}]", message)]
    return Problem(400, "invalid_row", detail, errors=errors)


async def _while_connected(request: Request, job: AsyncJob, work: Coroutine[None, None, T]) -> T:
    """What the work returns or raises. If the caller goes away first, the job is cancelled: nobody reads it.

    :raises Problem: the caller is gone; it sees no answer.
    """
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        with suppress(LongshoreError):  # it goes on, and its results can be read
            await job.cancel()
        raise Problem(400, "disconnected", f"the caller went away; the job {job.id} is cancelled")
    finally:
        for task in (working, gone):
            task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
