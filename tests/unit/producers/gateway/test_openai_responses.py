"""Answers in the shapes of OpenAI's API, checked by the types of its own package."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import JsonValue

from longshore.producers.gateway.openai.requests import Endpoint, read_request
from longshore.producers.gateway.openai.responses import Origin, answer
from longshore.producers.gateway.problems import Problem

CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES = Endpoint
MESSAGES: JsonValue = [{"role": "user", "content": "hi"}]
ORIGIN: Final = Origin("0a1b", 1_700_000_000, "chat:3")
USAGE: JsonValue = {"prompt_tokens": 7, "completion_tokens": 5, "cached_tokens": 4}
CALL: JsonValue = {"id": "a1b2c3d4e", "type": "function", "function": {"name": "f", "arguments": '{"x": "é"}'}}
LOGPROBS: JsonValue = [
    {"token": "é", "logprob": -0.1, "top": [{"token": "é", "logprob": -0.1}, {"token": "\ufffd", "logprob": -3.0}]},
    {
        "token": "\ufffd",
        "logprob": -9.0,
        "top": [{"token": "\ufffd", "logprob": -2.0}, {"token": "a", "logprob": -3.0}],
    },
]


def chat_output(**more: JsonValue) -> dict[str, JsonValue]:
    message: JsonValue = {"role": "assistant", "content": "é"}
    return {"text": "é", "finish_reason": "stop", "usage": USAGE, "message": message, **more}


def written(endpoint: Endpoint, body: Mapping[str, JsonValue], *outputs: Mapping[str, JsonValue]) -> JsonValue:
    return answer(read_request(endpoint, {"model": "chat@live", **body}), outputs, ORIGIN)


def test_a_chat_completion() -> None:
    body: dict[str, JsonValue] = {"messages": MESSAGES, "logprobs": True, "top_logprobs": 2}
    chat = ChatCompletion.model_validate(written(CHAT, body, chat_output(logprobs=LOGPROBS)), strict=True)
    assert (chat.id, chat.created, chat.model) == ("chatcmpl-0a1b", 1_700_000_000, "chat:3")
    (choice,) = chat.choices
    assert (choice.message.content, choice.message.refusal, choice.finish_reason) == ("é", None, "stop")
    assert choice.message.tool_calls is None
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    first, second = choice.logprobs.content
    assert (first.token, first.logprob, first.bytes) == ("é", -0.1, [0xC3, 0xA9])
    assert [(top.token, top.bytes) for top in first.top_logprobs] == [("é", [0xC3, 0xA9]), ("\ufffd", None)]
    assert second.bytes is None
    assert chat.usage is not None
    assert chat.usage.prompt_tokens_details is not None
    assert (chat.usage.prompt_tokens, chat.usage.completion_tokens, chat.usage.total_tokens) == (7, 5, 12)
    assert chat.usage.prompt_tokens_details.cached_tokens == 4


def test_choices_and_calls_of_tools() -> None:
    called: JsonValue = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    choices: JsonValue = [
        {"index": 0, **{name: value for name, value in chat_output().items() if name != "usage"}},
        {"index": 1, "text": "<call>", "finish_reason": "tool_calls", "message": called, "tool_calls": [CALL]},
    ]
    output: dict[str, JsonValue] = {"text": "é", "finish_reason": "stop", "usage": USAGE, "choices": choices}
    chat = ChatCompletion.model_validate(written(CHAT, {"messages": MESSAGES, "n": 2}, output), strict=True)
    assert [(each.index, each.message.content, each.finish_reason) for each in chat.choices] == [
        (0, "é", "stop"),
        (1, None, "tool_calls"),
    ]
    calls = chat.choices[1].message.tool_calls
    assert calls is not None
    assert [call.model_dump() for call in calls] == [CALL]
    tools: JsonValue = [{"type": "function", "name": "f"}]
    output = chat_output(finish_reason="tool_calls", message=called, tool_calls=[CALL])
    response = Response.model_validate(written(RESPONSES, {"input": "hi", "tools": tools}, output))
    (item,) = response.output
    assert item.type == "function_call"
    assert (item.call_id, item.name, item.arguments) == ("a1b2c3d4e", "f", '{"x": "é"}')


def test_completions_of_several_prompts() -> None:
    outputs = [{"text": text, "finish_reason": "length", "usage": USAGE, "logprobs": LOGPROBS} for text in ("a", "b")]
    document = written(COMPLETIONS, {"prompt": ["x", "y"], "logprobs": 2}, *outputs)
    completion = Completion.model_validate(document, strict=True)
    assert [(each.index, each.text, each.finish_reason) for each in completion.choices] == [
        (0, "a", "length"),
        (1, "b", "length"),
    ]
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert (logprobs.tokens, logprobs.token_logprobs, logprobs.text_offset) == (["é", "\ufffd"], [-0.1, -9.0], [0, 1])
    # Of two tokens that are written alike, the more probable one.
    assert logprobs.top_logprobs == [{"é": -0.1, "\ufffd": -3.0}, {"\ufffd": -2.0, "a": -3.0}]
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.total_tokens) == (14, 24)


def test_a_response() -> None:
    body: dict[str, JsonValue] = {
        **{"input": "hi", "instructions": "be brief", "metadata": {"a": "b"}, "top_logprobs": 2, "user": "u"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "string"}, "strict": True}},
    }
    response = Response.model_validate(written(RESPONSES, body, chat_output(logprobs=LOGPROBS)))
    assert (response.status, response.output_text, response.metadata) == ("completed", "é", {"a": "b"})
    assert (response.instructions, response.model) == ("be brief", "chat:3")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (7, 5, 12)
    (message,) = response.output
    assert message.type == "message"
    (part,) = message.content
    assert part.type == "output_text"
    assert part.logprobs is not None
    assert [each.token for each in part.logprobs] == ["é", "\ufffd"]
    cut = Response.model_validate(written(RESPONSES, {"input": "hi"}, chat_output(finish_reason="length")))
    assert cut.incomplete_details is not None
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_embeddings_in_base64_are_the_same_numbers(numbers: list[float]) -> None:
    # Outputs have each number as the shortest text that reads back as the same float32.
    output: dict[str, JsonValue] = {"embedding": [float(str(np.float32(each))) for each in numbers]}
    body: dict[str, JsonValue] = {"input": ["a", "b"], "encoding_format": "base64", "dimensions": len(numbers)}
    document = written(EMBEDDINGS, body, output, output)
    assert isinstance(document, dict)
    assert isinstance(document["data"], list)
    for index, each in enumerate(document["data"]):
        assert isinstance(each, dict)
        assert (each["index"], each["object"]) == (index, "embedding")
        decoded = np.frombuffer(base64.b64decode(str(each["embedding"])), "<f4")
        assert np.array_equal(decoded, np.array(numbers, np.float32))


def test_embeddings_have_the_length_that_is_asked_for() -> None:
    with pytest.raises(Problem, match="dimensions: 3: chat:3 gives embeddings of 2 numbers"):
        written(EMBEDDINGS, {"input": "a", "dimensions": 3}, {"embedding": [1.0, 2.0]})
