"""Batches by the official package for OpenAI's API: their files, and what comes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import openai
from openai.types import Batch, Embedding
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, JsonValue, TypeAdapter

from tests.waiting import wait_until

EMBEDDINGS, CHAT = "/v1/embeddings", "/v1/chat/completions"
COMPLETIONS, RESPONSES = "/v1/completions", "/v1/responses"
_EMBEDDINGS = TypeAdapter(list[Embedding])
ENDED = ("completed", "failed", "expired", "cancelled")


def line(custom_id: str, url: str, body: Mapping[str, object]) -> str:
    """One line of an input."""
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body})


def embedding_lines(count: int, model: str = "encoder") -> list[str]:
    """Lines whose texts differ."""
    words = ("the", "cat", "dog", "sat", "ran", "moon", "red", "blue")
    return [
        line(f"e{n}", EMBEDDINGS, {"model": model, "input": " ".join(words[n >> k & 7] for k in (0, 3, 6, 9))})
        for n in range(count)
    ]


def chat_lines(count: int, model: str = "chat", tokens: int = 2) -> list[str]:
    """Lines whose messages differ."""
    return [
        line(
            f"c{n}",
            CHAT,
            {"model": model, "messages": [{"role": "user", "content": f"red {n}"}], "max_tokens": tokens},
        )
        for n in range(count)
    ]


def create(api: openai.OpenAI, lines: Iterable[str], endpoint: str, window: str = "24h", **more: object) -> Batch:
    """Upload lines and begin their batch."""
    file = api.files.create(file=("input.jsonl", "\n".join(lines).encode()), purpose="batch")
    return api.batches.create(
        input_file_id=file.id,
        endpoint=endpoint,  # type: ignore[arg-type]
        completion_window=window,  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


def end_of(api: openai.OpenAI, batch: Batch) -> Batch:
    """The batch when it has ended."""
    now = [batch]

    def has_ended() -> bool:
        now[0] = api.batches.retrieve(batch.id)
        return now[0].status in ENDED

    wait_until(has_ended, f"the end of {batch.id}")
    return now[0]


class Response(BaseModel):
    """The answer to a line, as its endpoint would give it."""

    status_code: int
    request_id: str
    body: dict[str, JsonValue]


class EntryError(BaseModel):
    """Why a line was not run."""

    code: str
    message: str
    param: str | None
    line: int


class Entry(BaseModel):
    """A line of a file that a batch has left."""

    id: str
    custom_id: str | None
    response: Response | None
    error: EntryError | None


@dataclass(frozen=True)
class Entries:
    """The lines of both files of a batch."""

    answers: Sequence[Entry]
    errors: Sequence[Entry]

    def bodies(self) -> dict[str | None, dict[str, JsonValue]]:
        """The bodies of the answers by custom id, of which each is there once."""
        bodies = {entry.custom_id: entry.response.body for entry in self.answers if entry.response is not None}
        assert len(bodies) == len(self.answers)
        return bodies

    def embeddings(self) -> dict[str | None, list[Embedding]]:
        """The embeddings of each line by custom id."""
        return {id_: _EMBEDDINGS.validate_python(body["data"]) for id_, body in self.bodies().items()}

    def chats(self) -> dict[str | None, ChatCompletion]:
        """The answers of chats by custom id."""
        return {id_: ChatCompletion.model_validate(body) for id_, body in self.bodies().items()}

    @property
    def ids(self) -> list[str | None]:
        """The custom ids of all lines, sorted."""
        return sorted((entry.custom_id for entry in (*self.answers, *self.errors)), key=str)


def entries_of(api: openai.OpenAI, batch: Batch) -> Entries:
    """What a batch has left."""

    def read(id: str | None) -> list[Entry]:
        lines = [] if id is None else api.files.content(id).text.splitlines()
        return [Entry.model_validate_json(line) for line in lines]

    return Entries(read(batch.output_file_id), read(batch.error_file_id))
