"""Bodies of OpenAI's API, read without running them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params
from pydantic import BaseModel, JsonValue

from longshore.producers.gateway.openai.bodies import ChatBody, CompletionBody, EmbeddingBody
from longshore.producers.gateway.openai.parameters import Only
from longshore.producers.gateway.openai.requests import COLUMNS, Embedding, Endpoint, Generation, read_request
from longshore.producers.gateway.openai.response_bodies import ResponseBody
from longshore.producers.gateway.problems import Problem

CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES = Endpoint
MESSAGES: JsonValue = [{"role": "user", "content": "hi"}]
TOOL: JsonValue = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
FLAT_TOOL: JsonValue = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": None}
STRICT: JsonValue = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
STRICT_TEXT: JsonValue = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "string"}, "strict": True},
}
WRONG_CHOICE = ("tool_choice", "invalid_value")
NO_FUNCTION = ("tool_choice.function", "missing_required_parameter")
SCHEMA: JsonValue = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
#: The least that each endpoint needs.
LEAST: Mapping[Endpoint, dict[str, JsonValue]] = {
    CHAT: {"model": "chat", "messages": MESSAGES},
    COMPLETIONS: {"model": "chat", "prompt": "once"},
    EMBEDDINGS: {"model": "encoder", "input": "once"},
    RESPONSES: {"model": "chat", "input": "hi"},
}


def generation(endpoint: Endpoint, **more: JsonValue) -> Generation:
    asked = read_request(endpoint, {**LEAST[endpoint], **more})
    assert isinstance(asked, Generation)
    return asked


def columns(endpoint: Endpoint, **more: JsonValue) -> dict[str, JsonValue]:
    """The options that the row of a request has."""
    (row,) = generation(endpoint, **more).rows
    return {name: value for name, value in row.items() if name in COLUMNS and value is not None}


def messages(endpoint: Endpoint, **more: JsonValue) -> JsonValue:
    return generation(endpoint, **more).rows[0]["messages"]


def problem(endpoint: Endpoint, **more: JsonValue) -> Problem:
    with pytest.raises(Problem) as caught:
        read_request(endpoint, {**LEAST[endpoint], **more})
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize(
    ("body", "parameters"),
    [
        (ChatBody, chat_create_params.CompletionCreateParamsBase),
        (CompletionBody, completion_create_params.CompletionCreateParamsBase),
        (EmbeddingBody, embedding_create_params.EmbeddingCreateParams),
        (ResponseBody, response_create_params.ResponseCreateParamsBase),
    ],
)
def test_every_parameter_of_the_official_package_is_known(body: type[BaseModel], parameters: type) -> None:
    assert not set(parameters.__annotations__) - set(body.model_fields)


@pytest.mark.parametrize("body", [ChatBody, CompletionBody, ResponseBody])
def test_a_parameter_without_effect_takes_what_asks_for_nothing_and_nothing_else(body: type[BaseModel]) -> None:
    endpoint = next(each for each in Endpoint if body.__doc__ and f"/{each.value.split('/', 2)[2]}`" in body.__doc__)
    refused = {
        name: each for name, field in body.model_fields.items() for each in field.metadata if isinstance(each, Only)
    }
    for name, only in refused.items():
        for value in (None, *only.values):
            read_request(endpoint, {**LEAST[endpoint], name: value})
        others: list[JsonValue] = [["other"], "other", 7, True not in only.values]
        for other in others:
            error = problem(endpoint, **{name: other})
            assert (error.code, error.errors[0][0]) == ("unsupported_parameter", name)
            assert only.reason in str(error)


def test_options_that_are_not_set_are_left_to_the_version() -> None:
    assert columns(CHAT) == {}
    assert columns(RESPONSES) == {}
    assert columns(COMPLETIONS) == {"max_tokens": 16}
    assert columns(COMPLETIONS, min_tokens=20) == {"max_tokens": 20, "min_tokens": 20}
    nulls: dict[str, JsonValue] = dict.fromkeys(set(ChatBody.model_fields) - {"model", "messages"})
    assert generation(CHAT, **nulls).rows == generation(CHAT).rows
    # Rows of different requests are rows of one table.
    assert {frozenset(generation(CHAT, **more).rows[0]) for more in ({}, {"n": 2}, {"stop": ["a"]})} == {
        frozenset(("messages", *COLUMNS))
    }


def test_options_become_columns_and_what_a_job_has_becomes_its_options() -> None:
    given: dict[str, JsonValue] = {
        **{"temperature": 1, "top_p": 0.5, "n": 3, "seed": 0, "frequency_penalty": -2, "presence_penalty": 0.5},
        **{"top_k": -1, "min_p": 0.1, "repetition_penalty": 1.5, "min_tokens": 2, "stop": "END"},
    }
    assert columns(CHAT, **given, max_completion_tokens=9, logprobs=True, top_logprobs=4) == {
        **given,
        **{"top_k": 0, "stop": ["END"], "max_tokens": 9, "logprobs": 4},
    }
    assert columns(CHAT, max_tokens=7, max_completion_tokens=7, logprobs=True) == {"max_tokens": 7, "logprobs": 0}
    assert columns(CHAT, logprobs=False) == {}
    assert columns(RESPONSES, max_output_tokens=7, include=["message.output_text.logprobs"])["logprobs"] == 0
    asked = generation(CHAT, tools=[TOOL], tool_choice="auto")
    assert asked.options == {"tools": [TOOL]}
    assert generation(CHAT, tools=[TOOL], tool_choice="none").options == {}
    assert generation(CHAT, model="chat@production", tools=[TOOL]).key != asked.key
    assert generation(CHAT, messages=MESSAGES, temperature=1, tools=[TOOL]).key == asked.key
    assert generation(RESPONSES, tools=[FLAT_TOOL]).options == {"tools": [TOOL]}


def test_calls_that_a_model_must_make() -> None:
    named: JsonValue = {"type": "function", "function": {"name": "f"}}
    single: dict[str, JsonValue] = {"tool_choice": "required", "parallel_tool_calls": False}
    assert generation(CHAT, tools=[TOOL], tool_choice="required").options["tool_choice"] == "required"
    assert generation(CHAT, tools=[TOOL], **single).options == {"tools": [TOOL], **single}
    expected = {"tools": [TOOL], "tool_choice": "f"}
    assert generation(CHAT, tools=[TOOL], tool_choice=named, parallel_tool_calls=False).options == expected
    flat: JsonValue = {"type": "function", "name": "f"}
    assert generation(RESPONSES, tools=[FLAT_TOOL], tool_choice=flat).options == expected
    assert generation(CHAT, tools=[TOOL], tool_choice="none", parallel_tool_calls=False).options == {}
    assert generation(CHAT, tools=[STRICT]).options == {"tools": [STRICT]}


def test_what_the_answer_must_be() -> None:
    form: JsonValue = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": SCHEMA}}
    flat: JsonValue = {"format": {"type": "json_schema", "name": "n", "strict": True, "schema": SCHEMA}}
    expected = {"schema": SCHEMA}
    assert generation(CHAT, response_format=form).options == expected
    assert generation(COMPLETIONS, guided_json=SCHEMA).options == expected
    assert generation(CHAT, structured_outputs={"json": SCHEMA}).options == expected
    assert generation(RESPONSES, text=flat).options == expected
    assert generation(CHAT, response_format={"type": "json_object"}).options == {"schema": {"type": "object"}}
    assert generation(CHAT, response_format={"type": "text"}).options == {}
    assert generation(CHAT, guided_regex="a+").options == {"regex": "a+"}
    assert generation(CHAT, structured_outputs={"choice": ["a", "b"]}).options == {"choices": ["a", "b"]}
    assert problem(CHAT, response_format=form, guided_choice=["a"]).errors[0][0] == "guided_choice"
    assert problem(CHAT, response_format=form, tools=[TOOL]).errors[0][0] == "tools"
    assert problem(CHAT, response_format={"type": "json_schema"}).errors[0][0] == "response_format.json_schema"
    error = problem(CHAT, guided_json={"type": "nope"})
    assert error.errors[0][0] == "guided_json"
    assert "not a JSON Schema" in str(error)


def test_messages_are_those_of_generate() -> None:
    call: JsonValue = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said: JsonValue = {"role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": [call]}
    parts: JsonValue = [{"type": "text", "text": "a"}, {"type": "text", "text": "🙂"}]
    given: JsonValue = [
        {"role": "developer", "content": ""},
        {"role": "user", "content": parts, "name": "Ann"},
        said,
        {"role": "tool", "tool_call_id": "c1", "content": "5"},
    ]
    expected: list[dict[str, JsonValue]] = [
        {"role": "developer", "content": ""},
        {"role": "user", "content": "a\n🙂", "name": "Ann"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "5"},
    ]
    assert messages(CHAT, messages=given) == expected
    items: JsonValue = [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "🙂"}]},
        {"type": "function_call", "id": "fc", "status": "completed", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "5"},
    ]
    del expected[1]["name"]
    assert messages(RESPONSES, instructions="", input=items) == [{**expected[0], "role": "system"}, *expected[1:]]


@pytest.mark.parametrize(
    ("endpoint", "more", "param", "code"),
    [
        (CHAT, {"frobnicate": 1}, "frobnicate", "unknown_parameter"),
        (CHAT, {"messages": None}, "messages", "invalid_type"),
        (CHAT, {"messages": []}, "messages", "invalid_value"),
        (CHAT, {"messages": [{"role": "user"}]}, "messages[0].content", "invalid_value"),
        (CHAT, {"messages": [{"role": "bot", "content": ""}]}, "messages[0].role", "invalid_value"),
        (CHAT, {"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_value"),
        (CHAT, {"messages": [{"role": "user", "content": "", "x": 1}]}, "messages[0].x", "unknown_parameter"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]},
            "messages[0].content[0].type",
            "unsupported_parameter",
        ),
        (CHAT, {"model": "Chat Model"}, "model", "invalid_value"),
        (CHAT, {"model": None}, "model", "invalid_type"),
        (CHAT, {"n": True}, "n", "invalid_type"),
        (CHAT, {"n": 2.0}, "n", "invalid_type"),
        (CHAT, {"n": 10**40}, "n", "invalid_value"),
        (CHAT, {"seed": -1}, "seed", "invalid_value"),
        (CHAT, {"temperature": "1"}, "temperature", "invalid_type"),
        (CHAT, {"temperature": float("nan")}, "temperature", "invalid_value"),
        (CHAT, {"stop": [""]}, "stop", "invalid_value"),
        (CHAT, {"stop": ["a", 1]}, "stop[1]", "invalid_type"),
        (CHAT, {"stop": "\0"}, "stop", "invalid_value"),
        (CHAT, {"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", "invalid_value"),
        (CHAT, {"max_completion_tokens": 0}, "max_completion_tokens", "invalid_value"),
        (CHAT, {"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        (CHAT, {"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value"),
        (CHAT, {"tool_choice": "auto"}, "tool_choice", "invalid_value"),
        (CHAT, {"parallel_tool_calls": True}, "parallel_tool_calls", "invalid_value"),
        (CHAT, {"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls", "invalid_value"),
        (CHAT, {"tools": [TOOL], "tool_choice": "any"}, "tool_choice", "unsupported_parameter"),
        (CHAT, {"tools": [TOOL], "tool_choice": {"type": "custom"}}, "tool_choice", "unsupported_parameter"),
        (CHAT, {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}, *WRONG_CHOICE),
        (CHAT, {"tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}}, *NO_FUNCTION),
        (RESPONSES, {"tools": [FLAT_TOOL], "tool_choice": {"type": "function", "name": "g"}}, *WRONG_CHOICE),
        (CHAT, {"tools": [STRICT_TEXT]}, "tools[0].function.parameters", "invalid_value"),
        (CHAT, {"tools": [TOOL, TOOL]}, "tools", "invalid_value"),
        (CHAT, {"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        (CHAT, {"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        (CHAT, {"metadata": {f"{key}": "" for key in range(17)}}, "metadata", "invalid_value"),
        (CHAT, {"user": "\ud800"}, "body", "invalid_value"),
        (COMPLETIONS, {"prompt": [1, 2]}, "prompt", "invalid_value"),
        (COMPLETIONS, {"prompt": [[1, 2]]}, "prompt", "invalid_value"),
        (COMPLETIONS, {"prompt": []}, "prompt", "invalid_value"),
        (COMPLETIONS, {"prompt": ["a", ""]}, "prompt[1]", "invalid_value"),
        (COMPLETIONS, {"best_of": 3, "n": 2}, "best_of", "invalid_value"),
        (EMBEDDINGS, {"input": [[1]]}, "input", "invalid_value"),
        (EMBEDDINGS, {"encoding_format": "hex"}, "encoding_format", "invalid_value"),
        (RESPONSES, {"previous_response_id": "resp_1"}, "previous_response_id", "unsupported_parameter"),
        (RESPONSES, {"input": [{"type": "reasoning"}]}, "input[0]", "unsupported_parameter"),
        (RESPONSES, {"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
        (RESPONSES, {"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
    ],
)
def test_an_error_names_the_parameter(endpoint: Endpoint, more: dict[str, JsonValue], param: str, code: str) -> None:
    error = problem(endpoint, **more)
    assert (error.errors[0][0], error.code) == (param, code)
    f"{error}".encode()


@pytest.mark.parametrize("body", [None, [], "text", 5, {}])
def test_a_body_that_is_none(body: JsonValue) -> None:
    for endpoint in Endpoint:
        with pytest.raises(Problem):
            read_request(endpoint, body)


def test_texts_to_embed() -> None:
    asked = read_request(EMBEDDINGS, {"model": "encoder@live", "input": ["a", "", "🙂"]})
    assert isinstance(asked, Embedding)
    assert (asked.texts, str(asked.reference)) == (("a", "", "🙂"), "encoder@live")
