"""Running a version and waiting for its outputs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Final, cast

from fastapi import APIRouter, Request, Response

from longshore.producers.gateway.access.callers import Caller, needs
from longshore.producers.gateway.bodies.options import option_path
from longshore.producers.gateway.bodies.predictions import PredictBody, TextsBody
from longshore.producers.gateway.predictions import (
    MAX_ROW_ERRORS,
    Accepted,
    Prediction,
    answer_with_outputs,
    check_request,
)
from longshore.producers.gateway.prefer import Prefer, wait_of
from longshore.producers.gateway.problems import problem_of, response_to
from longshore.producers.gateway.server_sent_events import EVENT_STREAM, EventStream, event
from longshore.producers.gateway.serving.document_routes import DirectRoute
from longshore.producers.gateway.serving.idempotency import RepeatKey
from longshore.producers.gateway.state import gateway_of
from longshore.producers.gateway.streaming import (
    RowFailed,
    RowFinished,
    TextAdded,
    TextEvent,
    TextRestarted,
    TextStream,
    open_text_stream,
)
from longshore.producers.options.keywords import GenerateOptions, InferOptions
from longshore.producers.requests import Generate, Infer, with_key
from longshore.shared.errors import InvalidInput, LongshoreError
from longshore.shared.ledger.gateway.tokens import Scope

router = APIRouter(prefix="/models/{ref:path}", tags=["predictions"], route_class=DirectRoute)
#: The answer has what reading the results of the job would give.
Runner = Annotated[Caller, needs(Scope.JOBS_WRITE, Scope.JOBS_READ)]

_TEXT: Final = {"schema": {"type": "string"}}
_ACCEPTED: Final = {
    "model": Accepted,
    "description": "The job takes longer, or the caller does not wait.",
    "headers": {
        "Location": {"description": "The URL of the job.", **_TEXT},
        "Retry-After": {"description": "Seconds until it may have ended.", **_TEXT},
    },
}


@router.post("/predict", response_model=Prediction, responses={202: _ACCEPTED})
async def predict(
    ref: str, body: PredictBody, request: Request, caller: Runner, key: RepeatKey, prefer: Prefer = None
) -> Response:
    """Run a version over rows, and answer with their outputs.

    The rows are a small job like any other, and share batches with those of other callers. A row with an error has no
    output. After a time limit the answer is 202, and the job goes on; so it does if the caller hangs up.
    """
    check_request(caller, ref, body.options)
    wait_s = wait_of(prefer, gateway_of(request).options.predict_timeout_s)
    options = cast("InferOptions", {"max_row_errors": MAX_ROW_ERRORS, **body.options})
    try:
        job = await caller.submit(with_key(Infer(ref, body.data(), options), key))
    except InvalidInput as error:
        raise option_path(body.named(error), body.options, "infer") from None
    return await answer_with_outputs(caller, job, wait_s)


@router.post(
    "/generate",
    response_model=Prediction,
    responses={200: {"content": {EVENT_STREAM: _TEXT}}, 202: _ACCEPTED},
)
async def generate(
    ref: str, body: TextsBody, request: Request, caller: Runner, key: RepeatKey, prefer: Prefer = None
) -> Response:
    """Generate texts, and answer with them; or, with `stream`, with server-sent events while they are written.

    Without `stream` it is like `predict`. With it, the job is cancelled if the caller hangs up. The events are `job`,
    `text` (what is added to a text), `restart` (a text begins anew), `row` (a row is finished; its output has the
    texts), `row_error`, and at the end `end` or `error`.
    """
    check_request(caller, ref, body.options)
    gateway = gateway_of(request)
    wait_s = wait_of(prefer, gateway.options.predict_timeout_s)
    options = cast("GenerateOptions", {"max_row_errors": MAX_ROW_ERRORS, **body.options})
    try:
        if body.stream:  # without the key: the job of a stream that was cut is cancelled
            stream = await open_text_stream(gateway.texts, caller, ref, body.data(), options)
            return EventStream(_events(stream), stream.close)
        job = await caller.submit(with_key(Generate(ref, body.data(), options), key))
    except InvalidInput as error:
        raise option_path(body.named(error), body.options, "generate") from None
    return await answer_with_outputs(caller, job, wait_s)


async def _events(stream: TextStream) -> AsyncIterator[bytes]:
    try:
        record = await stream.job.record()
        yield event("job", {"job": record.id, "model": record.model, "version": record.version})
        async for each in stream:
            yield _event(each)
    except LongshoreError as error:
        yield event("error", json.loads(bytes(response_to(problem_of(error)).body)))
    else:
        yield event("end", {"job": record.id, "state": "succeeded"})


def _event(each: TextEvent) -> bytes:
    match each:
        case TextAdded():
            return event("text", each)
        case TextRestarted():
            return event("restart", each)
        case RowFinished():
            return event("row", each)
        case RowFailed():
            return event("row_error", each)
