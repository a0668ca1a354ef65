"""What is known of a job: why it is in its state, its shards, metrics, errors and logs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from longshore.producers.client import Client
from longshore.producers.documents.jobs import (
    ChainLink,
    LogLineDocument,
    RowRange,
    ShardDocument,
    chain_links,
    log_line,
    shard_document,
)
from longshore.producers.documents.json_text import to_json
from longshore.producers.gateway.access.callers import Caller, needs
from longshore.producers.gateway.answers import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Cursor,
    Limit,
    Page,
    answer,
    page_of,
    read_row_cursor,
    write_cursor,
)
from longshore.producers.gateway.jobs import find_job
from longshore.producers.job_errors import JobError
from longshore.producers.reporting.activity.why import Why
from longshore.shared.ledger.gateway.tokens import Scope
from longshore.shared.ledger.records import MetricRecord, TrialRecord
from longshore.shared.specs.evaluate import Evaluation
from longshore.shared.store.address import public

router = APIRouter(prefix="/jobs/{id}", tags=["jobs"])
Reader = Annotated[Caller, needs(Scope.JOBS_READ)]
JSONL = "application/jsonl"


@router.get("/why", response_model=Why)
async def show_why(id: str, caller: Reader) -> Response:
    """Say why a job is in its state, what was tried without success, and what can be done now."""
    job, _ = await find_job(caller, id)
    return answer(await job.why())


@router.get("/chain", response_model=Page[ChainLink])
async def show_chain(id: str, caller: Reader) -> Response:
    """List the jobs of the chain that the job belongs to, at least itself, each after the one it waits for."""
    _, record = await find_job(caller, id)

    def read(client: Client) -> Sequence[ChainLink]:
        return chain_links(client.job(record.id))

    return answer(Page(data=await caller.client.call(read), has_more=False, next=None))


@router.get("/shards", response_model=Page[ShardDocument])
async def show_shards(id: str, caller: Reader, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
    """List the shards, by index."""
    _, record = await find_job(caller, id)
    after = read_row_cursor(cursor)

    def read(client: Client) -> Sequence[ShardDocument]:
        return [shard_document(shard) for shard in client.ledger.queries.shards(record.id, limit + 1, after)]

    return answer(page_of(await caller.client.call(read), lambda shard: (shard.index,), limit, cursor))


@router.get("/trials", response_model=Page[TrialRecord])
async def show_trials(id: str, caller: Reader, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
    """List the trials of a search, or the folds of a cross-validation, by number."""
    job, _ = await find_job(caller, id)
    return answer(page_of(await job.trials(), lambda trial: (trial.number,), limit, cursor))


@router.get("/metrics", response_model=Page[MetricRecord])
async def show_metrics(id: str, caller: Reader, limit: Limit = MAX_LIMIT, cursor: Cursor = None) -> Response:
    """List the metrics of a training so far, by step and name."""
    job, _ = await find_job(caller, id)
    return answer(page_of(await job.metrics(), lambda metric: (metric.step, metric.name), limit, cursor))


@router.get("/evaluation", response_model=Evaluation)
async def show_evaluation(id: str, caller: Reader) -> Response:
    """Show what a job of kind `evaluate` has measured."""
    job, _ = await find_job(caller, id)
    return answer((await job.evaluation()).model_dump())


@router.get("/errors", response_model=Page[JobError])
async def show_errors(
    id: str,
    caller: Reader,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    after: Annotated[
        int | None, Query(ge=-1, lt=2**63, description="Only the errors of rows with a larger number.")
    ] = None,
) -> Response:
    """List the errors of rows, by row. The first page has those of attempts at shards, too, beyond its limit."""
    job, _ = await find_job(caller, id)
    errors = await job.errors(limit + 1, after if cursor is None else read_row_cursor(cursor))
    rows = [error for error in errors if error.row is not None]
    data = [error for error in errors if error.row is None] + rows[:limit]
    has_more = len(rows) > limit
    return answer(Page(data=data, has_more=has_more, next=write_cursor((data[-1].row or 0,)) if has_more else None))


@router.get("/rows_not_run", response_model=Page[RowRange])
async def show_rows_not_run(id: str, caller: Reader, limit: Limit = DEFAULT_LIMIT) -> Response:
    """List the rows that have neither a result nor an error: the first ranges of their numbers."""
    job, _ = await find_job(caller, id)
    ranges = [RowRange(start=each.start, stop=each.stop) for each in await job.rows_not_run(limit + 1)]
    return answer(Page(data=ranges[:limit], has_more=len(ranges) > limit, next=None))


@router.get("/parts", response_model=Page[str])
async def show_parts(id: str, caller: Reader, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
    """List the output files of the finished shards: paths or URLs, by shard."""
    job, _ = await find_job(caller, id)
    parts = list(enumerate(public(uri) for uri in await job.parts()))
    page = page_of(parts, lambda part: (part[0],), limit, cursor)
    return answer(Page(data=[uri for _, uri in page.data], has_more=page.has_more, next=page.next))


@router.get(
    "/logs",
    response_class=StreamingResponse,
    responses={200: {"description": "A line of JSON for each line of the logs.", "content": {JSONL: {}}}},
)
async def show_logs(
    id: str,
    caller: Reader,
    shard: Annotated[int | None, Query(ge=0, lt=2**31, description="Only of this shard.")] = None,
    attempt: Annotated[int | None, Query(ge=1, lt=2**31, description="Only of attempts of this number.")] = None,
    follow: Annotated[bool, Query(description="Go on with new lines until the job has ended.")] = False,
) -> Response:
    """Stream what the attempts of a job have logged and printed, as JSON Lines, by shard and attempt.

    Of each attempt at most 256 Ki characters are kept.
    """
    job, _ = await find_job(caller, id)

    async def lines() -> AsyncIterator[bytes]:
        async for line in job.logs(shard=shard, attempt=attempt, follow=follow):
            document: LogLineDocument = log_line(line)
            yield f"{to_json(document)}\n".encode()

    return StreamingResponse(lines(), media_type=JSONL)
