"""The bodies of requests that OpenAI's API defines, with the extensions of vLLM that jobs have.

A parameter that is not here is refused by its name. One that is known and not supported is :class:`Only`: refused with
the reason, unless its value asks for nothing.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, JsonValue

from longshore.producers.gateway.openai.messages import (
    ChatMessage,
    ResponseFormat,
    StreamOptions,
    StructuredOutputs,
    Tool,
    ToolChoice,
)
from longshore.producers.gateway.openai.parameters import Only, RequestBody

_NOT_KEPT: Final = Only("answers are not kept for retrieval; the job keeps its results", (False,))
_TEXT_ONLY: Final = Only("models here write text", (["text"],))
_ONE_TIER: Final = Only("there is one tier", ("auto", "default"))
_NO_BIAS: Final = Only("no engine here takes it", ({},))
_TOKEN_IDS: Final = "token ids are not supported, since they depend on the tokenizer of the version; give text"

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]


def as_list(value: object) -> object:
    """One text as a list of it."""
    return [value] if isinstance(value, str) else value


def as_texts(value: object) -> object:
    """One text as a list of it.

    :raises ValueError: these are token ids.
    """
    if isinstance(value, list) and value and all(isinstance(each, int | list) for each in value):
        raise ValueError(_TOKEN_IDS)
    return as_list(value)


Stop = Annotated[list[str] | None, BeforeValidator(as_list, json_schema_input_type=str | list[str] | None)]
Texts = Annotated[
    list[str],
    Field(min_length=1),
    BeforeValidator(as_texts, json_schema_input_type=str | Annotated[list[str], Field(min_length=1)]),
]


class GenerationBody(RequestBody):
    """What all requests for texts have in common."""

    model: str
    """A reference: `chat`, `chat:3` or `chat@production`."""
    temperature: float | None = None
    """0 always takes the most probable token. Default: that of the version, or 0."""
    top_p: float | None = None
    """Draw only from the most probable tokens that have this probability together."""
    user: str | None = None
    """Accepted, without effect."""
    stream: bool | None = None
    """Send the text as server-sent events while it is generated."""
    top_k: int | None = None
    """Of vLLM: draw only from so many tokens; 0 or -1: from all."""
    min_p: float | None = None
    """Of vLLM: draw only from tokens with at least this fraction of the probability of the most probable one."""
    repetition_penalty: float | None = None
    """Of vLLM: above 1, tokens of the prompt and of the text become less probable."""
    min_tokens: int | None = None
    """Of vLLM: tokens before which the text does not end."""
    structured_outputs: StructuredOutputs | None = None
    """Of vLLM: a JSON Schema, a regular expression or a list of texts that the answer matches."""
    guided_json: dict[str, JsonValue] | None = None
    """Of vLLM: a JSON Schema."""
    guided_regex: str | None = None
    """Of vLLM: a regular expression."""
    guided_choice: Annotated[list[str], Field(min_length=1)] | None = None
    """Of vLLM: the texts of which the answer is one."""
    guided_grammar: Annotated[JsonValue, Only("give guided_json, guided_regex or guided_choice")] = None
    ignore_eos: Annotated[JsonValue, Only("a text ends where the model ends it; give min_tokens", (False,))] = None
    stop_token_ids: Annotated[JsonValue, Only("give texts as stop", ([],))] = None
    include_stop_str_in_output: Annotated[JsonValue, Only("the stop text is left out", (False,))] = None
    skip_special_tokens: Annotated[JsonValue, Only("special tokens are left out", (True,))] = None
    priority: Annotated[JsonValue, Only("requests are taken in their order", (0,))] = None


class SampledBody(GenerationBody):
    """What requests for chat completions and completions have in common."""

    stream_options: StreamOptions | None = None
    """Only with `stream`. `include_usage`: the last chunk has the usage."""
    max_tokens: int | None = None
    """Tokens to generate, at most."""
    n: int | None = None
    """Answers, of which each is a choice."""
    stop: Stop = None
    """Texts before which the answer ends."""
    seed: int | None = None
    """Determines what is drawn. From 0."""
    frequency_penalty: float | None = None
    """Above 0: tokens become less probable each time that the text has them."""
    presence_penalty: float | None = None
    """Above 0: tokens that the text has become less probable."""
    logit_bias: Annotated[JsonValue, _NO_BIAS] = None
    use_beam_search: Annotated[JsonValue, Only("texts are drawn token by token", (False,))] = None
    response_format: ResponseFormat | None = None
    """`text`, `json_object`, or `json_schema` with the schema that the answer matches."""


class ChatBody(SampledBody):
    """The body of `POST /v1/chat/completions`."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    """The conversation; the content of a message is a text or text parts."""
    max_completion_tokens: int | None = None
    """As `max_tokens`. Default: that of the version, or 256."""
    logprobs: bool | None = None
    """Also return the log probability of each token."""
    top_logprobs: int | None = None
    """Only with `logprobs`: the most probable tokens in the place of each, up to 20."""
    tools: list[Tool] | None = None
    """Functions that the model may call."""
    tool_choice: ToolChoice | None = None
    """`auto`; `none`: the model is shown no tools; `required`: it calls one or several; or the function to call."""
    parallel_tool_calls: bool | None = None
    """`false`, at most one call: only with `tool_choice`, since else the model decides."""
    metadata: Metadata | None = None
    """Accepted, without effect."""
    safety_identifier: str | None = None
    """Accepted, without effect."""
    prompt_cache_key: str | None = None
    """Accepted, without effect: engines find common beginnings by themselves."""
    store: Annotated[JsonValue, _NOT_KEPT] = None
    modalities: Annotated[JsonValue, _TEXT_ONLY] = None
    audio: Annotated[JsonValue, Only("models here write text")] = None
    functions: Annotated[JsonValue, Only("give tools, which replaced it")] = None
    function_call: Annotated[JsonValue, Only("give tool_choice, which replaced it")] = None
    moderation: Annotated[JsonValue, Only("nothing here moderates texts")] = None
    prediction: Annotated[JsonValue, Only("no engine here takes it")] = None
    prompt_cache_options: Annotated[JsonValue, Only("how long engines keep a prompt cannot be set")] = None
    prompt_cache_retention: Annotated[JsonValue, Only("how long engines keep a prompt cannot be set")] = None
    reasoning_effort: Annotated[JsonValue, Only("say it in a message, as the model expects it")] = None
    service_tier: Annotated[JsonValue, _ONE_TIER] = None
    verbosity: Annotated[JsonValue, Only("say it in a message", ("medium",))] = None
    web_search_options: Annotated[JsonValue, Only("nothing here searches the web")] = None
    chat_template: Annotated[JsonValue, Only("the template is that of the version")] = None
    chat_template_kwargs: Annotated[JsonValue, Only("the template of the version gets no arguments", ({},))] = None
    add_generation_prompt: Annotated[JsonValue, Only("the answer is a message of its own", (True,))] = None
    continue_final_message: Annotated[JsonValue, Only("the answer is a message of its own", (False,))] = None
    echo: Annotated[JsonValue, Only("the answer has no messages of the request", (False,))] = None


class CompletionBody(SampledBody):
    """The body of `POST /v1/completions`."""

    prompt: Texts
    """A text, or a list of texts; not token ids."""
    logprobs: int | None = None
    """Also return the log probability of each token, and of so many most probable tokens in its place, up to 20."""
    max_tokens: int | None = None
    """Tokens to generate, at most. Default: 16, as OpenAI's."""
    best_of: int | None = None
    """Only the value of `n`."""
    echo: Annotated[JsonValue, Only("the answer does not repeat the prompt", (False,))] = None
    suffix: Annotated[JsonValue, Only("models here go on with a text", ("",))] = None


class EmbeddingBody(RequestBody):
    """The body of `POST /v1/embeddings`."""

    model: str
    """A reference to a version that embeds texts: `encoder`, `encoder:3` or `encoder@production`."""
    input: Texts
    """A text, or a list of texts; not token ids."""
    encoding_format: Literal["float", "base64"] | None = None
    """`base64`: 32-bit floats, lowest byte first. Default: `float`."""
    dimensions: int | None = None
    """Only the length of the version's embeddings."""
    user: str | None = None
    """Accepted, without effect."""
