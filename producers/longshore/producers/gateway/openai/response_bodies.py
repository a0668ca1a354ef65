"""The body of `POST /v1/responses`: its subset for texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Discriminator, Field, JsonValue, Tag

from longshore.producers.gateway.openai.bodies import GenerationBody, Metadata
from longshore.producers.gateway.openai.messages import Function, FunctionChoice
from longshore.producers.gateway.openai.parameters import Only, OpenAIBody

_NO_STATE: Final = Only("answers are not kept; give the messages so far as input")
_NOT_KEPT: Final = Only("answers are not kept for retrieval; give false", (False,))
_HAS_JOBS: Final = Only("requests are answered at once; for others use /v1/batches or a job", (False,))
_TEXT_TYPES: Final = Only(
    "models here read text; give parts of the type input_text alone", ("input_text", "output_text")
)
#: What `include` can name.
LOGPROBS: Final = "message.output_text.logprobs"


class ResponsePart(OpenAIBody):
    """A part of the content of a message."""

    type: Annotated[str, _TEXT_TYPES]
    text: str
    annotations: list[JsonValue] | None = None
    logprobs: list[JsonValue] | None = None


def _as_parts(value: object) -> object:
    """A text as its one part."""
    if isinstance(value, str):
        return [ResponsePart(type="input_text", text=value)]
    if isinstance(value, list):
        return value
    raise ValueError("give a text, or a list of text parts")


Parts = Annotated[list[ResponsePart], BeforeValidator(_as_parts, json_schema_input_type=str | list[ResponsePart])]


class _Item(OpenAIBody):
    """What items of earlier answers have."""

    id: str | None = None
    status: str | None = None


class MessageItem(_Item):
    """A message."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Parts
    phase: str | None = None

    @property
    def text(self) -> str:
        """Its content."""
        return _text(self.content)


class CallItem(_Item):
    """A call of a tool in an earlier answer."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


class CallOutputItem(_Item):
    """What a called tool gave."""

    type: Literal["function_call_output"]
    call_id: str
    output: Parts

    @property
    def text(self) -> str:
        """Its content."""
        return _text(self.output)


def _text(parts: Sequence[ResponsePart]) -> str:
    return "\n".join(part.text for part in parts)


def _item_type(value: object) -> str:
    kind = value.get("type", "message") if isinstance(value, dict) else getattr(value, "type", "message")
    return f"<{kind}>"


# pydantic puts the tag into the path of an error: errors.path_of knows it by its brackets.
Item = Annotated[
    Annotated[MessageItem, Tag("<message>")]
    | Annotated[CallItem, Tag("<function_call>")]
    | Annotated[CallOutputItem, Tag("<function_call_output>")],
    Discriminator(
        _item_type,
        custom_error_type="unsupported",
        custom_error_message="give items of the type message, function_call or function_call_output",
    ),
]


def _as_items(value: object) -> object:
    """A text as the one message of a user."""
    if not isinstance(value, str):
        return value
    return [MessageItem(role="user", content=[ResponsePart(type="input_text", text=value)])]


class ResponseTool(Function):
    """A function that the model may call."""

    type: Literal["function"]

    def document(self) -> dict[str, JsonValue]:
        """The tool as ``client.generate`` takes it."""
        return {"type": "function", "function": super().document()}


class ResponseTextFormat(OpenAIBody):
    """What an answer must be."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: Annotated[dict[str, JsonValue] | None, Field(alias="schema")] = None
    strict: bool | None = None
    """Answers are held to the schema whatever it is."""


class TextOptions(OpenAIBody):
    """How the answer is written."""

    format: ResponseTextFormat | None = None
    verbosity: Annotated[JsonValue, Only("say it in a message", ("medium",))] = None


class ResponseBody(GenerationBody):
    """The body of `POST /v1/responses`."""

    input: Annotated[
        list[Item],
        Field(min_length=1),
        BeforeValidator(_as_items, json_schema_input_type=str | Annotated[list[Item], Field(min_length=1)]),
    ]
    """A text, or messages, calls of tools and their outputs."""
    instructions: str | None = None
    """A system message before the input."""
    max_output_tokens: int | None = None
    """Tokens to generate, at most. Default: that of the version, or 256."""
    include: list[Literal["message.output_text.logprobs"]] | None = None
    """`message.output_text.logprobs`: also return the log probability of each token."""
    top_logprobs: int | None = None
    """The most probable tokens in the place of each, up to 20."""
    text: TextOptions | None = None
    """`format`: `text`, `json_object`, or `json_schema` with the schema that the answer matches."""
    tools: list[ResponseTool] | None = None
    """Functions that the model may call."""
    tool_choice: FunctionChoice | None = None
    """`auto`; `none`: the model is shown no tools; `required`: it calls one or several; or the function to call."""
    parallel_tool_calls: bool | None = None
    """`false`, at most one call: only with `tool_choice`, since else the model decides."""
    metadata: Metadata | None = None
    """Is in the answer, without effect."""
    safety_identifier: str | None = None
    """Accepted, without effect."""
    prompt_cache_key: str | None = None
    """Accepted, without effect: engines find common beginnings by themselves."""
    store: Annotated[JsonValue, _NOT_KEPT] = None
    previous_response_id: Annotated[JsonValue, _NO_STATE] = None
    conversation: Annotated[JsonValue, _NO_STATE] = None
    background: Annotated[JsonValue, _HAS_JOBS] = None
    background_options: Annotated[JsonValue, _HAS_JOBS] = None
    access_programs: Annotated[JsonValue, Only("there are none")] = None
    context_management: Annotated[JsonValue, Only("the input is taken as it is")] = None
    image: Annotated[JsonValue, Only("models here write text")] = None
    max_tool_calls: Annotated[JsonValue, Only("it is for tools that a server calls; here the caller does")] = None
    moderation: Annotated[JsonValue, Only("nothing here moderates texts")] = None
    prompt: Annotated[JsonValue, Only("there are no stored prompts; give input")] = None
    prompt_cache_options: Annotated[JsonValue, Only("how long engines keep a prompt cannot be set")] = None
    prompt_cache_retention: Annotated[JsonValue, Only("how long engines keep a prompt cannot be set")] = None
    reasoning: Annotated[JsonValue, Only("say it in a message, as the model expects it", ({},))] = None
    service_tier: Annotated[JsonValue, Only("there is one tier", ("auto", "default"))] = None
    stream_options: Annotated[JsonValue, Only("events are not padded", ({}, {"include_obfuscation": False}))] = None
    truncation: Annotated[JsonValue, Only("a prompt that is too long is an error", ("disabled",))] = None
