"""OpenAI's endpoints that run a model and answer at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response

from longshore.producers.gateway.access.callers import Caller, needs
from longshore.producers.gateway.openai.bodies import ChatBody, CompletionBody, EmbeddingBody
from longshore.producers.gateway.openai.job_options import TextBody
from longshore.producers.gateway.openai.requests import (
    Embedding,
    Generation,
    embedding_of,
    generation_of,
)
from longshore.producers.gateway.openai.response_bodies import ResponseBody
from longshore.producers.gateway.openai.responses import Origin, Output, answer
from longshore.producers.gateway.openai.running import run
from longshore.producers.gateway.openai.streaming import stream
from longshore.producers.gateway.server_sent_events import EVENT_STREAM
from longshore.producers.gateway.serving.idempotency import REPEATABLE
from longshore.producers.gateway.state import gateway_of
from longshore.shared.ledger.gateway.tokens import Scope

router = APIRouter(tags=["openai"])
_STREAMED: Final[dict[int | str, dict[str, object]]] = {
    200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}
}
#: A request that was interrupted, whose job nobody reads, is answered by another job.
_AGAIN: Final = (REPEATABLE,)
#: The answer has what reading the results of the job would give.
Runs = Annotated[Caller, needs(Scope.JOBS_WRITE, Scope.JOBS_READ)]


@router.post("/chat/completions", responses=_STREAMED, dependencies=_AGAIN)
async def create_chat_completion(body: ChatBody, request: Request, caller: Runs) -> Response:
    """The answer of a language model to a conversation, as OpenAI's API gives it."""
    return await _generate(request, caller, body)


@router.post("/completions", responses=_STREAMED, dependencies=_AGAIN)
async def create_completion(body: CompletionBody, request: Request, caller: Runs) -> Response:
    """The text with which a language model goes on, as OpenAI's API gives it."""
    return await _generate(request, caller, body)


@router.post("/responses", responses=_STREAMED, dependencies=_AGAIN)
async def create_response(body: ResponseBody, request: Request, caller: Runs) -> Response:
    """The answer of a language model to texts and outputs of tools, as OpenAI's API gives it."""
    return await _generate(request, caller, body)


@router.post("/embeddings", dependencies=_AGAIN)
async def create_embeddings(body: EmbeddingBody, request: Request, caller: Runs) -> Response:
    """The embeddings of texts, as OpenAI's API gives them."""
    asked = embedding_of(body)
    outputs, origin = await run(request, caller, asked)
    return await _written(request, asked, outputs, origin)


async def _generate(request: Request, caller: Caller, body: TextBody) -> Response:
    # A schema can take long to check.
    asked = await gateway_of(request).threads.call(generation_of, body)
    if body.stream:
        return await stream(request, caller, asked)
    outputs, origin = await run(request, caller, asked)
    return await _written(request, asked, outputs, origin)


async def _written(
    request: Request, asked: Generation | Embedding, outputs: Sequence[Output], origin: Origin
) -> Response:
    """The answer, which can be long, written in a thread."""

    def write() -> bytes:
        return json.dumps(answer(asked, outputs, origin), ensure_ascii=False, separators=(",", ":")).encode()

    return Response(await gateway_of(request).threads.call(write), media_type="application/json")
