"""Jobs whose outputs the caller waits for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from fastapi import Response
from pydantic import JsonValue
from pydantic.dataclasses import dataclass

from longshore.producers.aio.job import AsyncJob
from longshore.producers.documents.jobs import described
from longshore.producers.gateway.access.callers import Caller
from longshore.producers.gateway.access.models import check_options, check_reference
from longshore.producers.gateway.answers import JSON, answer
from longshore.shared.errors import InvalidInput, WaitTimeout
from longshore.shared.ledger.queries import Outcome
from longshore.shared.vocabulary import State

#: Errors of rows that a job may have: they are those of the caller's rows, and not of the job. One number for all, so
#: that the rows of many callers share batches.
MAX_ROW_ERRORS: Final = 1_000_000
#: Options of jobs that an answer with outputs does not show.
_FOR_JOBS: Final = ("output", "results", "keep")
#: Seconds after which a caller may ask for a job that was not ready.
RETRY_AFTER_S: Final = 1


@described
@dataclass(frozen=True, kw_only=True)
class RowFault:
    """Why a row has no output."""

    row: int
    error: str


@described
@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The outputs of rows."""

    job: str
    model: str
    version: int | None
    outputs: list[dict[str, JsonValue] | None]
    """One for each row, in their order: docs/reference/outputs.md. Null for a row with an error."""
    errors: list[RowFault]


@described
@dataclass(frozen=True, kw_only=True)
class Accepted:
    """The job goes on. Its results are those of any job."""

    job: str


def check_request(caller: Caller, reference: str, options: Mapping[str, JsonValue]) -> None:
    """Check what a caller asks a version for.

    :raises InvalidInput: the reference is none, or an option is for jobs whose outputs nobody waits for.
    :raises Problem: 403: it may not use a model.
    """
    check_reference(caller, reference)
    check_options(caller, options)
    for name in _FOR_JOBS:
        if name in options:
            raise InvalidInput(f"options.{name}", "not in an answer with outputs; submit a job by POST /v1/jobs")


async def answer_with_outputs(caller: Caller, job: AsyncJob, wait_s: float) -> Response:
    """The outputs of a job; or 202 and its URL, if it takes longer than that.

    :param wait_s: 0 if the caller has asked not to wait.
    :raises JobFailed: it failed, or was cancelled.
    """
    if not wait_s:
        return _accepted(job, {"Preference-Applied": "respond-async"})
    try:
        await caller.client.wait([job], wait_s)
        outcome = await caller.client.outcome(job)
    except WaitTimeout:
        return _accepted(job, {})
    if outcome.state is not State.SUCCEEDED:
        await job.wait()
    return Response(_document(outcome), media_type=JSON)


def _accepted(job: AsyncJob, headers: Mapping[str, str]) -> Response:
    """The answer that names a job which goes on."""
    location = {"Location": f"/v1/jobs/{job.id}", "Retry-After": str(RETRY_AFTER_S)}
    return answer({"job": job.id}, 202, {**location, **headers})


def _document(outcome: Outcome) -> bytes:
    """A :class:`Prediction` as JSON. Outputs are JSON texts already."""
    outputs = {record.row: record.output for record in outcome.results}
    rows = outcome.rows_total or 0
    errors = [{"row": each.row, "error": each.error} for each in outcome.errors]
    head = json.dumps({"job": str(outcome.job), "model": outcome.model, "version": outcome.version})
    listed = ",".join(outputs.get(row, "null") for row in range(rows))
    return f'{head[:-1]}, "outputs": [{listed}], "errors": {json.dumps(errors, ensure_ascii=False)}}}'.encode()
