"""OpenAI's batches: many requests as a file, whose answers come as a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request

from longshore.producers.gateway.access.callers import Caller, needs
from longshore.producers.gateway.batches.documents import BatchDocument, BatchPage, NewBatch
from longshore.producers.gateway.batches.driver import BatchDriver
from longshore.producers.gateway.batches.output import cancel_reason
from longshore.producers.gateway.batches.reading import count_lines
from longshore.producers.gateway.batches.steps import ENDED
from longshore.producers.gateway.openai.errors import invalid, invalid_input
from longshore.producers.gateway.problems import Problem
from longshore.producers.gateway.routes.files import BATCH, store_of
from longshore.producers.gateway.serving.idempotency import REPEATABLE, RepeatKey
from longshore.producers.gateway.state import gateway_of
from longshore.shared.durations import parse_duration
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.gateway.batches import BatchRecord
from longshore.shared.ledger.gateway.tokens import Scope

router = APIRouter(prefix="/batches", tags=["batches"])

MAX_WINDOW: Final = timedelta(days=30)


@router.post("")
async def create_batch(
    body: NewBatch,
    request: Request,
    caller: Annotated[Caller, needs(Scope.JOBS_WRITE, Scope.FILES_READ)],
    key: RepeatKey,
) -> BatchDocument:
    """Run the requests of a file. Each line is one: `{"custom_id", "method": "POST", "url", "body"}`."""
    await caller.usage.admit()
    call, ledger = gateway_of(request).threads.call, caller.client.ledger
    seconds = _window(body.completion_window)
    if any("\0" in text for pair in (body.metadata or {}).items() for text in pair):
        raise invalid("metadata", "a text has the character NUL, which cannot be stored; remove it")
    file = await call(ledger.files.find, caller.producer, body.input_file_id)
    if file is None:
        raise invalid("input_file_id", f"there is no file {body.input_file_id!r}", "unknown_file")
    if file.purpose != BATCH:
        raise invalid("input_file_id", f"its purpose is {file.purpose}; upload it with the purpose {BATCH}")
    # A line is a row, as far as is known before the file is read.
    lines = 0 if caller.token.rows_per_day is None else await call(count_lines, store_of(gateway_of(request)), file)
    await caller.usage.admit(rows=lines)
    expiry = body.output_expires_after
    batch = await call(
        ledger.batches.add,
        caller.producer,
        body.endpoint.value,
        file.id,
        body.completion_window,
        seconds,
        output_expires_after=None if expiry is None else expiry.seconds,
        metadata=body.metadata,
        token_id=caller.token.id,
        model_patterns=caller.token.models,
        key=key,
    )
    driver_of(request).wake()
    return BatchDocument.of(batch)


@router.get("")
async def list_batches(
    request: Request,
    caller: Annotated[Caller, needs(Scope.JOBS_READ)],
    after: Annotated[str | None, Query(description="The last batch of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> BatchPage:
    """The batches of the caller's producer, the newest first."""
    call, ledger = gateway_of(request).threads.call, caller.client.ledger
    last = None if after is None else await call(ledger.batches.find, caller.producer, after)
    if after is not None and last is None:
        raise invalid("after", f"there is no batch {after!r}; begin again without it")
    batches = await call(ledger.batches.list, caller.producer, after=last, limit=limit + 1)
    return BatchPage.of(await _documents(request, caller, batches), limit)


@router.get("/{id}")
async def show_batch(id: str, request: Request, caller: Annotated[Caller, needs(Scope.JOBS_READ)]) -> BatchDocument:
    """A batch of the caller's producer, with how far it is."""
    return (await _documents(request, caller, [await _find(request, caller, id)]))[0]


@router.post("/{id}/cancel", dependencies=[REPEATABLE])
async def cancel_batch(id: str, request: Request, caller: Annotated[Caller, needs(Scope.JOBS_WRITE)]) -> BatchDocument:
    """Cancel a batch. What is done by then stays: the batch ends with its files."""
    call, ledger = gateway_of(request).threads.call, caller.client.ledger
    await _find(request, caller, id)
    await call(ledger.batches.cancel, caller.producer, id)
    batch = await _find(request, caller, id)
    if batch.state != "cancelling":
        raise Problem(409, "batch_ended", f"{id} is {batch.state}; only a batch that is read or run can be cancelled")
    # Whoever drives the batch sees at once that its jobs have ended.
    for job in batch.jobs or ():
        if job is not None:
            await call(ledger.control.cancel, job, cancel_reason(id))
    return (await _documents(request, caller, [batch]))[0]


def driver_of(request: Request) -> BatchDriver:
    """What drives the batches of this gateway."""
    driver = request.app.state.batch_driver
    assert isinstance(driver, BatchDriver)
    return driver


async def _find(request: Request, caller: Caller, id: str) -> BatchRecord:
    batch = await gateway_of(request).threads.call(caller.client.ledger.batches.find, caller.producer, id)
    if batch is None:
        raise Problem(404, "unknown_batch", f"there is no batch {id!r}", errors=[("id", "there is no such batch")])
    return batch


async def _documents(request: Request, caller: Caller, batches: Sequence[BatchRecord]) -> list[BatchDocument]:
    running = [batch.id for batch in batches if batch.jobs and batch.state not in ENDED]
    rows: dict[str, tuple[int, int, int]] = {}
    if running:
        rows = await gateway_of(request).threads.call(caller.client.ledger.batches.rows, caller.producer, running)
    return [BatchDocument.of(batch, rows.get(batch.id)) for batch in batches]


def _window(text: str) -> float:
    try:
        window = parse_duration(text, "completion_window", short=True)
    except InvalidInput as error:
        raise invalid_input(error) from None
    if window > MAX_WINDOW:
        raise invalid("completion_window", f"{text!r}: give up to {MAX_WINDOW.days} days")
    return window.total_seconds()
