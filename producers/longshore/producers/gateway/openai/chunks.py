"""The chunks of streamed completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from pydantic import JsonValue

from longshore.producers.gateway.openai.bodies import ChatBody, CompletionBody, SampledBody
from longshore.producers.gateway.openai.responses import (
    FINGERPRINT,
    Document,
    Origin,
    Output,
    chat_logprobs,
    choices_of,
    completion_logprobs,
    message_of,
    usage_of,
)


class EventWriter(Protocol):
    """Writes the events of a stream. Rows and texts are counted from 0."""

    def begin(self) -> Iterator[Document]:
        """What comes before all texts."""
        ...

    def add(self, row: int, index: int, text: str) -> Iterator[Document]:
        """A text goes on."""
        ...

    def finish(self, row: int, output: Output, *, is_sent: bool) -> Iterator[Document]:
        """A row is finished.

        :param is_sent: whether its texts were added.
        """
        ...

    def end(self) -> Iterator[Document]:
        """What comes after all rows."""
        ...


class _Chunks:
    """What the chunks of both kinds of completions have in common."""

    def __init__(self, body: SampledBody, origin: Origin, prefix: str, kind: str) -> None:
        self._has_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        self._head: Document = {
            "id": f"{prefix}-{origin.id}",
            "object": kind,
            "created": origin.created,
            "model": origin.model,
            "system_fingerprint": FINGERPRINT,
        }
        self._outputs: list[Output] = []

    def end(self) -> Iterator[Document]:
        """The usage, if it was asked for."""
        if self._has_usage:
            yield {**self._head, "choices": [], "usage": usage_of(self._outputs)}

    def _chunk(self, choices: Sequence[Document]) -> Document:
        return {**self._head, "choices": [*choices], **({"usage": None} if self._has_usage else {})}


class ChatChunks(_Chunks):
    """The chunks of a chat completion."""

    def __init__(self, body: ChatBody, origin: Origin) -> None:
        super().__init__(body, origin, "chatcmpl", "chat.completion.chunk")
        self._texts = body.n or 1
        self._has_logprobs = bool(body.logprobs)
        # A message that calls tools has no content, which null is and an empty text is not.
        self._content = None if body.tools else ""

    def begin(self) -> Iterator[Document]:
        """The role of each answer."""
        for index in range(self._texts):
            yield self._delta(index, {"role": "assistant", "content": self._content, "refusal": None})

    def add(self, row: int, index: int, text: str) -> Iterator[Document]:
        """An answer goes on."""
        yield self._delta(index, {"content": text})

    def finish(self, row: int, output: Output, *, is_sent: bool) -> Iterator[Document]:
        """What is known at the end of each answer: calls of tools, log probabilities, and why it has ended."""
        self._outputs.append(output)
        for index, choice in enumerate(choices_of(output)):
            message = message_of(choice)
            if not is_sent and message["content"]:
                logprobs = chat_logprobs(choice) if self._has_logprobs else None
                yield self._delta(index, {"content": message["content"]}, logprobs=logprobs)
            calls = message.get("tool_calls")
            for place, call in enumerate(calls if isinstance(calls, list) else ()):
                assert isinstance(call, dict)
                yield self._delta(index, {"tool_calls": [{"index": place, **call}]})
            yield self._delta(index, {}, finish_reason=choice["finish_reason"])

    def _delta(
        self, index: int, delta: Document, logprobs: JsonValue = None, finish_reason: JsonValue = None
    ) -> Document:
        return self._chunk([{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}])


class CompletionChunks(_Chunks):
    """The chunks of a completion."""

    def __init__(self, body: CompletionBody, origin: Origin) -> None:
        super().__init__(body, origin, "cmpl", "text_completion")
        self._texts = body.n or 1
        self._has_logprobs = body.logprobs is not None

    def begin(self) -> Iterator[Document]:
        """Nothing."""
        yield from ()

    def add(self, row: int, index: int, text: str) -> Iterator[Document]:
        """A text goes on."""
        yield self._text(row, index, text)

    def finish(self, row: int, output: Output, *, is_sent: bool) -> Iterator[Document]:
        """What is known at the end of each text: log probabilities, and why it has ended."""
        self._outputs.append(output)
        for index, choice in enumerate(choices_of(output)):
            if not is_sent:
                logprobs = completion_logprobs(choice) if self._has_logprobs else None
                yield self._text(row, index, choice["text"], logprobs=logprobs)
            yield self._text(row, index, "", finish_reason=choice["finish_reason"])

    def _text(
        self, row: int, index: int, text: JsonValue, logprobs: JsonValue = None, finish_reason: JsonValue = None
    ) -> Document:
        place = row * self._texts + index
        return self._chunk([{"index": place, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}])
