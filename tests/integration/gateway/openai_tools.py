"""Calls of functions that a model must make, asked for by OpenAI's own package."""

from __future__ import annotations

from typing import Literal

import openai
import pytest
from openai import OpenAI, pydantic_function_tool
from openai.types.chat import (
    ChatCompletionMessageParam,
    ChatCompletionNamedToolChoiceParam,
    ChatCompletionToolUnionParam,
)
from openai.types.responses import FunctionToolParam
from pydantic import BaseModel

from tests.integration.gateway.openai_models import TOOLS

ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "the cat"}]


class Lamp(BaseModel):
    """The arguments of a function."""

    color: Literal["red", "blue"]
    is_dim: bool


BOTH: list[ChatCompletionToolUnionParam] = [
    pydantic_function_tool(Lamp, name="set_lamp"),
    {"type": "function", "function": {"name": "stop", "strict": True}},
]


def check_forced_calls(api: OpenAI) -> None:
    """Of a chat and of a response."""
    _check_chats(api)
    _check_response(api)


def _check_chats(api: OpenAI) -> None:
    """A named function, and one of several, in one piece and streamed."""
    named: ChatCompletionNamedToolChoiceParam = {"type": "function", "function": {"name": "set_lamp"}}
    # As `parse` of the package demands it, the function is strict.
    chat = api.chat.completions.parse(
        model=TOOLS, messages=ASKED, tools=BOTH, tool_choice=named, max_tokens=60, parallel_tool_calls=False
    )
    [choice] = chat.choices
    assert (choice.finish_reason, choice.message.content) == ("stop", None)
    assert choice.message.tool_calls is not None
    [call] = choice.message.tool_calls
    assert isinstance(call.function.parsed_arguments, Lamp)

    with api.chat.completions.stream(
        model=TOOLS, messages=ASKED, tools=BOTH, tool_choice="required", parallel_tool_calls=False, max_tokens=60
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion().choices[0]
    assert (final.finish_reason, final.message.content) == ("tool_calls", None)
    assert final.message.tool_calls is not None
    assert [each.function.name for each in final.message.tool_calls] in (["set_lamp"], ["stop"])
    assert "tool_calls.function.arguments.done" in kinds
    assert "content.delta" not in kinds

    named["function"]["name"] = "door"
    with pytest.raises(openai.BadRequestError, match="no function has this name") as refused:
        api.chat.completions.create(model=TOOLS, messages=ASKED, tools=BOTH, tool_choice=named)
    assert (refused.value.param, refused.value.code) == ("tool_choice", "invalid_value")


def _check_response(api: OpenAI) -> None:
    """A named function."""
    schema = pydantic_function_tool(Lamp)["function"]["parameters"]
    flat: FunctionToolParam = {"type": "function", "name": "set_lamp", "parameters": schema, "strict": True}
    response = api.responses.create(
        model=TOOLS, input="x", tools=[flat], tool_choice={"type": "function", "name": "set_lamp"}, max_output_tokens=60
    )
    [item] = response.output
    assert item.type == "function_call"
    assert isinstance(Lamp.model_validate_json(item.arguments), Lamp)
    assert response.status == "completed"
