"""From the outputs of a job to the body of an answer, in the shapes of OpenAI's API."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from pydantic import JsonValue

from longshore.producers.gateway.openai.bodies import ChatBody, CompletionBody
from longshore.producers.gateway.openai.errors import invalid
from longshore.producers.gateway.openai.requests import Embedding, Generation
from longshore.producers.gateway.openai.response_bodies import ResponseBody
from longshore.producers.version import __version__
from longshore.shared.specs.tool_choice import AUTO

#: A JSON object.
Document: TypeAlias = dict[str, JsonValue]
#: The output of a row: docs/reference/outputs.md.
Output: TypeAlias = Mapping[str, JsonValue]

#: What stands in texts for bytes that are no text.
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
FINGERPRINT: Final = f"longshore-{__version__}"


@dataclass(frozen=True)
class Origin:
    """Where an answer comes from."""

    #: Tells it apart from others; letters and digits.
    id: str
    #: Seconds since 1970.
    created: int
    #: The version that gave it, such as ``chat:3``.
    model: str


def answer(request: Generation | Embedding, outputs: Sequence[Output], origin: Origin) -> Document:
    """The body of the answer to a request.

    :param outputs: of its rows, in their order.
    :raises Problem: 400; the version's embeddings do not have the length that the request names.
    """
    if isinstance(request, Embedding):
        return _embeddings(request, outputs, origin)
    if isinstance(request.body, ChatBody):
        return _chat(request.body, outputs[0], origin)
    if isinstance(request.body, CompletionBody):
        return _completion(request.body, outputs, origin)
    return _response(request.body, outputs[0], origin)


def choices_of(output: Output) -> list[Output]:
    """The texts of a row, with what belongs to each."""
    choices = output.get("choices")
    if not isinstance(choices, list):
        return [output]
    return [choice for choice in choices if isinstance(choice, dict)]


def usage_of(outputs: Sequence[Output]) -> Document:
    """The tokens of rows together."""
    prompt, completion, cached = (_tokens(outputs, name) for name in ("prompt", "completion", "cached"))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _tokens(outputs: Sequence[Output], name: str) -> int:
    counts = [usage.get(f"{name}_tokens") for output in outputs if isinstance(usage := output.get("usage"), dict)]
    return sum(count for count in counts if isinstance(count, int))


def _chat(body: ChatBody, output: Output, origin: Origin) -> Document:
    choices: list[JsonValue] = [
        {
            "index": index,
            "message": message_of(choice),
            "logprobs": chat_logprobs(choice) if body.logprobs else None,
            "finish_reason": choice["finish_reason"],
        }
        for index, choice in enumerate(choices_of(output))
    ]
    return {
        "id": f"chatcmpl-{origin.id}",
        "object": "chat.completion",
        "created": origin.created,
        "model": origin.model,
        "choices": choices,
        "usage": usage_of([output]),
        "system_fingerprint": FINGERPRINT,
    }


def message_of(choice: Output) -> Document:
    """The message of a chat completion."""
    calls = choice.get("tool_calls")
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else choice["text"]
    return {"role": "assistant", "content": content, "refusal": None, **({"tool_calls": calls} if calls else {})}


def chat_logprobs(choice: Output) -> Document:
    """The log probabilities of a text as a chat completion has them."""
    return {"content": [*_token_logprobs(choice)], "refusal": None}


def _token_logprobs(choice: Output) -> Iterator[Document]:
    for token in _logged(choice):
        top = token["top"]
        assert isinstance(top, list)
        yield {**_token(token), "top_logprobs": [_token(each) for each in top if isinstance(each, dict)]}


def _logged(choice: Output) -> list[Document]:
    logprobs = choice.get("logprobs")
    return [each for each in logprobs if isinstance(each, dict)] if isinstance(logprobs, list) else []


def _token(token: Output) -> Document:
    text = token["token"]
    assert isinstance(text, str)
    # The bytes of a token that is no text of its own are not known here.
    written: JsonValue = None if _REPLACEMENT in text else [*text.encode()]
    return {"token": text, "logprob": token["logprob"], "bytes": written}


def _with_bytes(token: Document) -> Document:
    """A token as a response has it: without null for bytes that are not known."""
    top = token.get("top_logprobs")
    tops: JsonValue = [_with_bytes(each) for each in top if isinstance(each, dict)] if isinstance(top, list) else []
    return {**token, "bytes": token["bytes"] or [], **({} if top is None else {"top_logprobs": tops})}


def _completion(body: CompletionBody, outputs: Sequence[Output], origin: Origin) -> Document:
    texts = [choice for output in outputs for choice in choices_of(output)]
    choices: list[JsonValue] = [
        {
            "index": index,
            "text": choice["text"],
            "logprobs": None if body.logprobs is None else completion_logprobs(choice),
            "finish_reason": choice["finish_reason"],
        }
        for index, choice in enumerate(texts)
    ]
    return {
        "id": f"cmpl-{origin.id}",
        "object": "text_completion",
        "created": origin.created,
        "model": origin.model,
        "choices": choices,
        "usage": usage_of(outputs),
        "system_fingerprint": FINGERPRINT,
    }


def completion_logprobs(choice: Output) -> Document:
    """The log probabilities of a text as a completion has them: its own token is among the most probable ones."""
    tokens: list[JsonValue] = []
    logprobs: list[JsonValue] = []
    tops: list[JsonValue] = []
    offsets: list[JsonValue] = []
    offset = 0
    for token in _logged(choice):
        text, top = token["token"], token["top"]
        assert isinstance(text, str)
        assert isinstance(top, list)
        likely: Document = {}
        for each in (*top, token):
            if isinstance(each, dict):
                # Of tokens that are written alike, the most probable one.
                likely.setdefault(str(each["token"]), each["logprob"])
        tokens.append(text)
        logprobs.append(token["logprob"])
        tops.append(likely)
        offsets.append(offset)
        offset += len(text)
    return {"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": tops, "text_offset": offsets}


def _embeddings(request: Embedding, outputs: Sequence[Output], origin: Origin) -> Document:
    body = request.body
    data: list[JsonValue] = []
    for index, output in enumerate(outputs):
        numbers = output["embedding"]
        assert isinstance(numbers, list)
        if body.dimensions not in (None, len(numbers)):
            raise invalid(
                "dimensions",
                f"{body.dimensions}: {origin.model} gives embeddings of {len(numbers)} numbers; leave it out",
            )
        embedding: JsonValue = numbers
        if body.encoding_format == "base64":
            embedding = base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    tokens = _tokens(outputs, "prompt")
    # A version whose runtime makes no tokens of a text counts none.
    usage: Document | None = {"prompt_tokens": tokens, "total_tokens": tokens} if tokens else None
    return {"object": "list", "data": data, "model": origin.model, "usage": usage}


def _response(body: ResponseBody, output: Output, origin: Origin) -> Document:
    return {**response_head(body, origin), **response_end(body, output, origin)}


def response_head(body: ResponseBody, origin: Origin) -> Document:
    """What is known of a response when it begins."""
    form = None if body.text is None else body.text.format
    written: JsonValue = {"type": "text"} if form is None else form.model_dump(by_alias=True, exclude_none=True)
    return {
        "id": f"resp_{origin.id}",
        "object": "response",
        "created_at": origin.created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": {**body.metadata} if body.metadata else {},
        "model": origin.model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": body.temperature,
        "text": {"format": written},
        "tool_choice": _choice_of(body),
        "tools": [tool.model_dump() for tool in body.tools or ()],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
    }


def _choice_of(body: ResponseBody) -> JsonValue:
    choice = body.tool_choice or AUTO
    return choice if isinstance(choice, str) else choice.model_dump()


def response_end(body: ResponseBody, output: Output, origin: Origin) -> Document:
    """What a response has when it has ended."""
    is_cut = output["finish_reason"] == "length"
    prompt, completion, cached = (_tokens([output], name) for name in ("prompt", "completion", "cached"))
    return {
        "status": "incomplete" if is_cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "output": [*_items(body, output, origin)],
        "usage": {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
            "output_tokens": completion,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + completion,
        },
    }


def _items(body: ResponseBody, output: Output, origin: Origin) -> Iterator[Document]:
    message = message_of(output)
    calls = message.get("tool_calls")
    status = "incomplete" if output["finish_reason"] == "length" else "completed"
    if message["content"] is not None:
        part: Document = {"type": "output_text", "text": message["content"], "annotations": []}
        part["logprobs"] = [_with_bytes(each) for each in _token_logprobs(output)]
        yield {
            "id": f"msg_{origin.id}",
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [part],
        }
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        assert isinstance(call, dict)
        assert isinstance(call["function"], dict)
        yield {
            "id": f"fc_{origin.id}_{index}",
            "type": "function_call",
            "call_id": call["id"],
            "status": "completed",
            **call["function"],
        }
