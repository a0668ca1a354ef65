"""The events of streamed responses."""

from __future__ import annotations

from collections.abc import Iterator

from longshore.producers.gateway.openai.response_bodies import ResponseBody
from longshore.producers.gateway.openai.responses import Document, Origin, Output, response_end, response_head


class ResponseEvents:
    """The events of a response. Its one row has one text."""

    def __init__(self, body: ResponseBody, origin: Origin) -> None:
        self._body = body
        self._origin = origin
        self._head = response_head(body, origin)
        self._count = 0
        self._has_begun = False

    def begin(self) -> Iterator[Document]:
        """The response, without its output."""
        yield self._event("response.created", response=self._head)
        yield self._event("response.in_progress", response=self._head)

    def add(self, row: int, index: int, text: str) -> Iterator[Document]:
        """The text goes on."""
        if not self._has_begun:
            self._has_begun = True
            yield from self._begin_message()
        yield self._of_text("response.output_text.delta", delta=text, logprobs=[])

    def finish(self, row: int, output: Output, *, is_sent: bool) -> Iterator[Document]:
        """The items of the output, and the response with them."""
        end = response_end(self._body, output, self._origin)
        items = end["output"]
        assert isinstance(items, list)
        for place, item in enumerate(items):
            assert isinstance(item, dict)
            yield from self._call(place, item) if item["type"] == "function_call" else self._message(item)
        yield self._event(f"response.{end['status']}", response={**self._head, **end})

    def end(self) -> Iterator[Document]:
        """Nothing."""
        yield from ()

    def _begin_message(self) -> Iterator[Document]:
        item: Document = {"id": self._message_id, "type": "message", "role": "assistant", "status": "in_progress"}
        yield self._event("response.output_item.added", output_index=0, item={**item, "content": []})
        part: Document = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        yield self._of_text("response.content_part.added", part=part)

    def _message(self, item: Document) -> Iterator[Document]:
        assert isinstance(item["content"], list)
        (part,) = item["content"]
        assert isinstance(part, dict)
        text, logprobs = part["text"], part["logprobs"]
        if not self._has_begun:
            yield from self._begin_message()
            if text:
                yield self._of_text("response.output_text.delta", delta=text, logprobs=logprobs)
        yield self._of_text("response.output_text.done", text=text, logprobs=logprobs)
        yield self._of_text("response.content_part.done", part=part)
        yield self._event("response.output_item.done", output_index=0, item=item)

    def _call(self, place: int, item: Document) -> Iterator[Document]:
        begun: Document = {**item, "arguments": "", "status": "in_progress"}
        yield self._event("response.output_item.added", output_index=place, item=begun)
        where: Document = {"item_id": item["id"], "output_index": place}
        yield self._event("response.function_call_arguments.delta", **where, delta=item["arguments"])
        yield self._event(
            "response.function_call_arguments.done", **where, name=item["name"], arguments=item["arguments"]
        )
        yield self._event("response.output_item.done", output_index=place, item=item)

    @property
    def _message_id(self) -> str:
        return f"msg_{self._origin.id}"

    def _of_text(self, kind: str, **values: object) -> Document:
        return self._event(kind, item_id=self._message_id, output_index=0, content_index=0, **values)

    def _event(self, kind: str, **values: object) -> Document:
        event: Document = {"type": kind, "sequence_number": self._count, **values}  # type: ignore[dict-item]
        self._count += 1
        return event
