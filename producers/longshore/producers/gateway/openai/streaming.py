"""Streams answers as server-sent events while they are written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Final

from fastapi import Request

from longshore.producers.documents.json_text import on_one_line
from longshore.producers.gateway.access.callers import Caller
from longshore.producers.gateway.openai.bodies import ChatBody, CompletionBody
from longshore.producers.gateway.openai.chunks import ChatChunks, CompletionChunks, EventWriter
from longshore.producers.gateway.openai.error_objects import error_object
from longshore.producers.gateway.openai.requests import Generation
from longshore.producers.gateway.openai.response_bodies import ResponseBody
from longshore.producers.gateway.openai.response_events import ResponseEvents
from longshore.producers.gateway.openai.responses import Document, Origin
from longshore.producers.gateway.openai.running import job_failure, options_of, origin_of, parameters_of, row_failure
from longshore.producers.gateway.problems import Problem, problem_of
from longshore.producers.gateway.server_sent_events import EventStream
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
from longshore.shared.errors import JobFailed, LongshoreError

_DONE: Final = b"data: [DONE]\n\n"


async def stream(request: Request, caller: Caller, asked: Generation) -> EventStream:
    """The answer, as server-sent events. If the caller goes away, the job is cancelled.

    :raises Problem: the request is refused. What goes wrong later is an event of the stream, the last one.
    """
    caller.check_model(asked.reference.name)
    channels = gateway_of(request).texts
    with parameters_of(asked):
        texts = await open_text_stream(channels, caller, asked.body.model, list(asked.rows), options_of(asked))
    try:
        record = await texts.job.record()
    except BaseException:
        await texts.close()
        raise
    return EventStream(_written(texts, asked, origin_of(record.id, record.model, record.version)), texts.close)


async def _written(texts: TextStream, asked: Generation, origin: Origin) -> AsyncIterator[bytes]:
    writer = writer_of(asked, origin)
    try:
        for document in writer.begin():
            yield _event(document)
        async for event in texts:
            for document in documents_of(writer, asked, event):
                yield _event(document)
        for document in writer.end():
            yield _event(document)
        if not isinstance(asked.body, ResponseBody):
            yield _DONE
    except Problem as problem:
        yield _error(problem, asked)
    except JobFailed as error:
        yield _error(job_failure(error), asked)
    except LongshoreError as error:
        yield _error(problem_of(error), asked)


def writer_of(asked: Generation, origin: Origin) -> EventWriter:
    """Writes the events of the endpoint of a request."""
    body = asked.body
    if isinstance(body, ChatBody):
        return ChatChunks(body, origin)
    return CompletionChunks(body, origin) if isinstance(body, CompletionBody) else ResponseEvents(body, origin)


def documents_of(writer: EventWriter, asked: Generation, event: TextEvent) -> list[Document]:
    """What an event of the job is in the stream.

    :raises Problem: the row has failed, or its text began anew.
    """
    # Calls of tools and log probabilities are known when the text has ended.
    is_sent = "tools" not in asked.options and asked.rows[0]["logprobs"] is None
    if isinstance(event, RowFinished):
        return [*writer.finish(event.row, event.output, is_sent=is_sent)]
    if isinstance(event, RowFailed):
        raise row_failure(asked, event.row, event.error)
    if not is_sent:
        return []
    if isinstance(event, TextRestarted):
        raise Problem(503, "restarted", "the worker was lost, and another one writes another text; ask again")
    assert isinstance(event, TextAdded)
    return [*writer.add(event.row, event.index, event.text)]


def _event(document: Document) -> bytes:
    """An event. Those of responses have their types as names, too."""
    kind = document.get("type")
    name = f"event: {kind}\n" if isinstance(kind, str) else ""
    text = on_one_line(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
    return f"{name}data: {text}\n\n".encode()


def _error(problem: Problem, asked: Generation) -> bytes:
    """The event of an error, by which OpenAI's packages raise an exception."""
    param = problem.errors[0][0] if problem.errors else None
    error = error_object(problem.status, problem.code, str(problem), param)
    if isinstance(asked.body, ResponseBody):
        return _event({**error, "type": "error", "error": error})
    return _event({"error": error})
