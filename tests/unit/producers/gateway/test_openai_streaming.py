"""The events of streamed answers, for what a job does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import JsonValue, TypeAdapter

from longshore.producers.gateway.openai.requests import Endpoint, Generation, read_request
from longshore.producers.gateway.openai.responses import Document, Origin
from longshore.producers.gateway.openai.streaming import documents_of, writer_of
from longshore.producers.gateway.problems import Problem
from longshore.producers.gateway.streaming import RowFailed, RowFinished, TextAdded, TextEvent, TextRestarted

CHAT, COMPLETIONS, _, RESPONSES = Endpoint
ORIGIN: Final = Origin("0a1b", 1_700_000_000, "chat:3")
MESSAGES: JsonValue = [{"role": "user", "content": "hi"}]
TOOLS: JsonValue = [{"type": "function", "function": {"name": "f"}}]
OUTPUT: Final[dict[str, JsonValue]] = {
    **{"text": "one two", "finish_reason": "stop"},
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "cached_tokens": 0},
}
EVENTS: Final = (TextAdded(0, 0, "one"), TextAdded(0, 0, " two"), RowFinished(0, OUTPUT))


def documents(endpoint: Endpoint, events: Sequence[TextEvent], **body: JsonValue) -> list[Document]:
    asked = read_request(endpoint, {"model": "chat", "stream": True, **body})
    assert isinstance(asked, Generation)
    writer = writer_of(asked, ORIGIN)
    begun = [*writer.begin()]
    middle = [document for event in events for document in documents_of(writer, asked, event)]
    return [*begun, *middle, *writer.end()]


def test_texts_come_as_they_are_written() -> None:
    chunks = [ChatCompletionChunk.model_validate(each) for each in documents(CHAT, EVENTS, messages=MESSAGES)]
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "one", " two", None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    # As OpenAI's own, chunks have no reason until the end, which the type of the package does not say.
    texts = [Completion.construct(**each).choices[0] for each in documents(COMPLETIONS, EVENTS, prompt="x")]  # type: ignore[arg-type]
    assert [(each.text, each.finish_reason) for each in texts] == [("one", None), (" two", None), ("", "stop")]
    adapter: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
    kinds = [adapter.validate_python(each).type for each in documents(RESPONSES, EVENTS, input="x")]
    assert kinds == [
        *("response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"),
        *("response.output_text.delta", "response.output_text.delta", "response.output_text.done"),
        *("response.content_part.done", "response.output_item.done", "response.completed"),
    ]


def test_what_was_sent_cannot_begin_anew() -> None:
    with pytest.raises(Problem) as restarted:
        documents(CHAT, [EVENTS[0], TextRestarted(0, 0), *EVENTS], messages=MESSAGES)
    assert restarted.value.status == 503
    # With tools nothing was sent.
    chunks = documents(CHAT, [EVENTS[0], TextRestarted(0, 0), *EVENTS], messages=MESSAGES, tools=TOOLS)
    contents = [ChatCompletionChunk.model_validate(each).choices[0].delta.content for each in chunks]
    assert contents == [None, "one two", None]


def test_a_row_that_fails_ends_the_stream() -> None:
    with pytest.raises(Problem, match="too long") as failed:
        documents(COMPLETIONS, [EVENTS[0], RowFailed(1, "too long")], prompt=["x", "y"])
    assert (failed.value.status, failed.value.errors) == (400, [("prompt[1]", "too long")])
