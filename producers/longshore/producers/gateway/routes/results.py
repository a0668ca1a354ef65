"""The results of jobs: as pages of JSON, and as streams of JSON Lines, Arrow and Parquet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from longshore.producers.aio.client import AsyncClient
from longshore.producers.client import Client
from longshore.producers.documents.jobs import described
from longshore.producers.documents.json_text import to_json
from longshore.producers.documents.results import result_json
from longshore.producers.gateway.access.callers import Caller, needs
from longshore.producers.gateway.answers import DEFAULT_LIMIT, Limit
from longshore.producers.gateway.jobs import find_job
from longshore.producers.gateway.problems import Problem
from longshore.producers.gateway.result_streams import PAGE_BYTES, Chunks, JobResults
from longshore.producers.results import check_in_table, key_columns_of
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.gateway.tokens import Scope
from longshore.shared.ledger.records import JobRecord
from longshore.shared.vocabulary import JobKind, State

router = APIRouter(prefix="/jobs/{id}", tags=["results"])


class Format(StrEnum):
    """How results are written."""

    JSON = "json"
    JSONL = "jsonl"
    ARROW = "arrow"
    PARQUET = "parquet"


MEDIA_TYPES: Final[Mapping[Format, str]] = {
    Format.JSON: "application/json",
    Format.JSONL: "application/jsonl",
    Format.ARROW: "application/vnd.apache.arrow.stream",
    Format.PARQUET: "application/vnd.apache.parquet",
}
#: Headers of a stream: the state of the job, and whether it has ended, so that no rows are added any more.
JOB_STATE, COMPLETE = HEADERS = ("Longshore-Job-State", "Longshore-Complete")
_BY_MEDIA_TYPE: Final = {
    **{media_type: form for form, media_type in MEDIA_TYPES.items()},
    **{"application/x-ndjson": Format.JSONL, "*/*": Format.JSON, "application/*": Format.JSON},
}
_STREAMS: Final[Mapping[Format, Callable[[JobResults], Chunks]]] = {
    Format.JSONL: JobResults.json_lines,
    Format.ARROW: JobResults.arrow_stream,
    Format.PARQUET: JobResults.parquet_file,
}


class ResultDocument(BaseModel):
    """The result of a row: its number, the columns that the job keeps, and those of the output."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"row": 0, "label": 7}]})

    row: int


@described
@dataclass(frozen=True, kw_only=True)
class ResultsPage:
    """A page of results."""

    object: Literal["list"]
    data: Sequence[ResultDocument]
    has_more: bool
    """Whether there are more rows now."""
    next: int | None
    """`after` for the next page: the last row of this one; null if there are no more rows now."""
    state: State
    """That of the job."""
    complete: bool
    """Whether the job has ended, so that no rows are added any more."""
    key_columns: Sequence[str]
    """The columns that the job keeps of its input."""


@router.get(
    "/results",
    response_model=ResultsPage,
    responses={
        200: {"content": {media_type: {} for form, media_type in MEDIA_TYPES.items() if form is not Format.JSON}},
        406: {"description": "No format that the caller accepts."},
        410: {"description": "The results were removed because of their age."},
    },
)
async def show_results(
    id: str,
    caller: Annotated[Caller, needs(Scope.JOBS_READ)],
    format: Annotated[Format | None, Query(description="Default: by the header `Accept`, or json.")] = None,
    after: Annotated[
        int, Query(ge=-1, lt=2**63, description="Only rows with a larger number. Default: from the first row.")
    ] = -1,
    limit: Limit = DEFAULT_LIMIT,
    accept: Annotated[str, Header()] = "*/*",
) -> Response:
    """Read the results of a job so far, ordered by row.

    JSON comes in pages of `limit` rows. JSON Lines, Arrow and Parquet are streams of all rows, however many there are;
    their header `Longshore-Complete` says `false` while the job runs, when rows before those that were read can still
    be added. A stream that fails is cut, and not ended; `after` goes on after the last row that was read.
    """
    form = format or accepted(accept)
    _, record = await find_job(caller, id)
    if record.kind not in (JobKind.INFER, JobKind.GENERATE):
        raise InvalidInput("job", f"{record.id} is a job of kind {record.kind}, which has no rows of results")
    check_in_table(record)
    if form is Format.JSON:
        return Response(await caller.client.call(_page, record, after, limit), media_type=MEDIA_TYPES[form])
    chunks = await caller.client.call(lambda client: _STREAMS[form](_results(client, record, after)))
    # What can be wrong from the start must not begin a stream.
    first = await caller.client.call(lambda _: next(chunks, None))
    headers = {
        JOB_STATE: record.state,
        COMPLETE: "true" if record.state.final else "false",
        "Accept-Ranges": "none",
        "Vary": "Accept",
    }
    return StreamingResponse(_stream(caller.client, first, chunks), headers=headers, media_type=MEDIA_TYPES[form])


def accepted(header: str) -> Format:
    """The format that a caller accepts, the one that it prefers.

    :param header: the value of ``Accept``.
    :raises Problem: 406, it accepts none.
    """
    weights: list[tuple[float, Format]] = []
    for each in header.split(","):
        media_type, *parameters = (part.strip().lower() for part in each.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                with suppress(ValueError):
                    weight = float(parameter[2:])
        if media_type in _BY_MEDIA_TYPE and weight > 0:
            weights.append((weight, _BY_MEDIA_TYPE[media_type]))
    if not weights:
        raise Problem(406, "not_acceptable", f"Accept: results are {', '.join(MEDIA_TYPES.values())}")
    return max(weights, key=lambda weighted: weighted[0])[1]


def _results(client: Client, record: JobRecord, after: int) -> JobResults:
    generated = record.kind == JobKind.GENERATE
    return JobResults(client.ledger, record.id, after, key_columns_of(record), generated)


def _page(client: Client, record: JobRecord, after: int, limit: int) -> bytes:
    """A page as JSON. The rows are JSON texts already."""
    read = client.ledger.queries.results_page
    rows = read(record.id, after, limit, PAGE_BYTES)
    last = rows[-1].row if rows else after
    has_more = bool(rows) and bool(read(record.id, last, 1, PAGE_BYTES))
    fields = {
        "has_more": has_more,
        "next": last if has_more else None,
        "state": record.state,
        "complete": record.state.final,
        "key_columns": key_columns_of(record),
    }
    data = ", ".join(result_json(row) for row in rows)
    return f'{{"object": "list", "data": [{data}], {to_json(fields)[1:]}'.encode()


async def _stream(client: AsyncClient, chunk: bytes | None, chunks: Chunks) -> AsyncIterator[bytes]:
    try:
        while chunk is not None:
            if chunk:
                yield chunk
            chunk = await client.call(lambda _: next(chunks, None))
    finally:
        with suppress(ValueError):  # the caller has left while a step runs, which is the last then
            chunks.close()
