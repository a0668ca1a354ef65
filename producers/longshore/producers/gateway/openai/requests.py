"""From the body of a request to what the client is asked for: texts or embeddings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeAlias

from pydantic import JsonValue, ValidationError

from longshore.producers.gateway.openai.bodies import (
    ChatBody,
    CompletionBody,
    EmbeddingBody,
    SampledBody,
)
from longshore.producers.gateway.openai.errors import invalid, invalid_body, invalid_input
from longshore.producers.gateway.openai.job_options import TextBody, job_options
from longshore.producers.gateway.openai.response_bodies import LOGPROBS, CallItem, CallOutputItem, ResponseBody
from longshore.producers.options.keywords import GenerateOptions
from longshore.producers.planning.language.structured_output import check_structured_output
from longshore.shared.datasets.prompts import TEXT_OPTIONS, read_messages
from longshore.shared.errors import InvalidInput
from longshore.shared.references import ModelReference
from longshore.shared.specs.generate import MESSAGES, PROMPT, ROW_OPTIONS, GenerateSpec, RowOptions
from longshore.shared.specs.jobs import FileInput
from longshore.shared.specs.validation import build

#: A row of the data of a job that generates text. All rows of an endpoint have the same columns.
Row: TypeAlias = dict[str, JsonValue]

#: The columns of options that a row has; null for those that the request does not set.
COLUMNS: Final = tuple(name for name in ROW_OPTIONS if name not in TEXT_OPTIONS)
#: Tokens that a completion has at most, if the request does not say: as OpenAI's.
COMPLETION_TOKENS: Final = 16


class Endpoint(StrEnum):
    """The endpoints with a body that runs a model."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    EMBEDDINGS = "/v1/embeddings"
    RESPONSES = "/v1/responses"


@dataclass(frozen=True)
class Generation:
    """A request for texts."""

    body: TextBody
    #: One for each prompt; of a chat and of a response, one.
    rows: tuple[Row, ...]
    #: For the job as a whole: its `schema`, `regex`, `choices`, `tools` and what belongs to them.
    options: GenerateOptions
    #: The parameters of options, and of the columns of the data, that have other names.
    names: Mapping[str, str]

    @property
    def reference(self) -> ModelReference:
        """The model that it names."""
        return ModelReference.parse(self.body.model)

    @property
    def key(self) -> str:
        """Requests with the same one can be rows of one job."""
        return f"{self.reference} {json.dumps(self.options, sort_keys=True)}"


@dataclass(frozen=True)
class Embedding:
    """A request for embeddings."""

    body: EmbeddingBody

    @property
    def reference(self) -> ModelReference:
        """The model that it names."""
        return ModelReference.parse(self.body.model)

    @property
    def texts(self) -> tuple[str, ...]:
        """What is embedded, in order."""
        return tuple(self.body.input)

    @property
    def key(self) -> str:
        """Requests with the same one can be rows of one job."""
        return str(self.reference)

    @property
    def names(self) -> Mapping[str, str]:
        """The parameters of options, and of the columns of the data, that have other names."""
        return {"data": "input"}


def read_request(endpoint: Endpoint, body: object) -> Generation | Embedding:
    """What a body asks for. Nothing is looked up: whether there is such a model is not checked.

    :param body: the JSON document.
    :raises Problem: 400; a parameter is unknown, not supported or wrong, and which.
    """
    try:
        match endpoint:
            case Endpoint.CHAT:
                return generation_of(ChatBody.model_validate(body))
            case Endpoint.COMPLETIONS:
                return generation_of(CompletionBody.model_validate(body))
            case Endpoint.RESPONSES:
                return generation_of(ResponseBody.model_validate(body))
            case Endpoint.EMBEDDINGS:
                return embedding_of(EmbeddingBody.model_validate(body))
    except ValidationError as error:
        raise invalid_body(error) from None


def embedding_of(body: EmbeddingBody) -> Embedding:
    """:raises Problem: 400; the model is no reference."""
    _check_reference(body.model)
    return Embedding(body)


def generation_of(body: TextBody) -> Generation:
    """:raises Problem: 400; a parameter is wrong, or two do not go together."""
    _check_reference(body.model)
    names: dict[str, str] = {}
    options = _row_options(body, names)
    try:
        row_options = build(RowOptions, options)
        row_options.check_row()
        whole = job_options(body, names)
        _check_job_options(json.dumps(whole, sort_keys=True))
    except InvalidInput as error:
        raise invalid_input(error, names) from None
    columns: Row = {name: _plain(getattr(row_options, name)) if name in options else None for name in COLUMNS}
    names["data"] = (
        "prompt" if isinstance(body, CompletionBody) else "messages" if isinstance(body, ChatBody) else "input"
    )
    return Generation(body, tuple({**row, **columns} for row in _inputs(body)), whole, names)


def _check_reference(model: str) -> None:
    try:
        ModelReference.parse(model)
    except InvalidInput as error:
        raise invalid_input(error) from None


def _plain(value: object) -> JsonValue:
    """The value of an option as a row has it."""
    if isinstance(value, tuple):
        return [str(each) for each in value]
    assert isinstance(value, int | float | str)
    return value


def _inputs(body: TextBody) -> list[Row]:
    """The prompts or messages, one row each.

    :raises Problem: 400; a message lacks something.
    """
    if isinstance(body, CompletionBody):
        for index, prompt in enumerate(body.prompt):
            if not prompt:
                raise invalid("prompt" if len(body.prompt) == 1 else f"prompt[{index}]", "empty; give a text")
        return [{PROMPT: prompt} for prompt in body.prompt]
    messages = _conversation(body) if isinstance(body, ResponseBody) else [each.document() for each in body.messages]
    try:
        read_messages(messages)
    except ValueError as error:
        param, _, reason = str(error).partition(": ")
        raise invalid(param, reason) from None
    rows: list[JsonValue] = [*messages]
    return [{MESSAGES: rows}]


def _conversation(body: ResponseBody) -> list[dict[str, JsonValue]]:
    """The messages of a response's input. Calls that follow a text of the assistant are part of its message."""
    messages: list[dict[str, JsonValue]] = []
    if body.instructions is not None:
        messages.append({"role": "system", "content": body.instructions})
    for item in body.input:
        if isinstance(item, CallItem):
            function: JsonValue = {"name": item.name, "arguments": item.arguments}
            call: JsonValue = {"id": item.call_id, "type": "function", "function": function}
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant"})
            calls = messages[-1].setdefault("tool_calls", [])
            assert isinstance(calls, list)
            calls.append(call)
        elif isinstance(item, CallOutputItem):
            messages.append({"role": "tool", "tool_call_id": item.call_id, "content": item.text})
        else:
            messages.append({"role": item.role, "content": item.text})
    return messages


def _row_options(body: TextBody, names: dict[str, str]) -> dict[str, object]:
    """The options that the body sets.

    :param names: gets the parameters whose options have other names.
    :raises Problem: 400; two parameters do not go together.
    """
    options: dict[str, object] = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": 0 if body.top_k == -1 else body.top_k,
        "min_p": body.min_p,
        "repetition_penalty": body.repetition_penalty,
        "min_tokens": body.min_tokens,
    }
    if isinstance(body, SampledBody):
        options |= {
            "n": body.n,
            "stop": body.stop or None,
            "seed": body.seed,
            "frequency_penalty": body.frequency_penalty,
            "presence_penalty": body.presence_penalty,
            "max_tokens": body.max_tokens,
        }
        if body.stream_options is not None and not body.stream:
            raise invalid("stream_options", "only with stream: true; leave it out")
    if isinstance(body, ChatBody):
        _add_chat_options(body, options, names)
    elif isinstance(body, CompletionBody):
        options |= {"logprobs": body.logprobs}
        if body.max_tokens is None:
            options["max_tokens"] = max(COMPLETION_TOKENS, body.min_tokens or 0)
        if body.best_of is not None and body.best_of != (body.n or 1):
            raise invalid("best_of", f"{body.best_of}: only the value of n, which is {body.n or 1}; leave it out")
    else:
        options |= {"max_tokens": body.max_output_tokens, "logprobs": body.top_logprobs}
        if body.top_logprobs is None and body.include and LOGPROBS in body.include:
            options["logprobs"] = 0
        names |= {"max_tokens": "max_output_tokens", "logprobs": "top_logprobs"}
    return {name: value for name, value in options.items() if value is not None}


def _add_chat_options(body: ChatBody, options: dict[str, object], names: dict[str, str]) -> None:
    if body.max_completion_tokens is not None:
        if body.max_tokens not in (None, body.max_completion_tokens):
            raise invalid(
                "max_tokens",
                f"{body.max_tokens}: max_completion_tokens, which replaced it, is {body.max_completion_tokens}; leave "
                "one out",
            )
        options["max_tokens"] = body.max_completion_tokens
        names["max_tokens"] = "max_completion_tokens"
    if body.top_logprobs is not None and not body.logprobs:
        raise invalid("top_logprobs", "only with logprobs: true")
    if body.logprobs:
        options["logprobs"] = body.top_logprobs or 0
        names["logprobs"] = "top_logprobs"


@lru_cache(maxsize=256)
def _check_job_options(options: str) -> None:
    """:raises InvalidInput: a schema, a regular expression or a tool cannot be used, or two do not go together."""
    spec = build(GenerateSpec, {"data": FileInput(uri="/", format="csv"), **json.loads(options)})
    spec.check()
    check_structured_output(spec)
