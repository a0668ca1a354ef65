"""Batches by the official package for OpenAI's API: their files, and what comes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import openai
from openai.types import Batch
from pydantic import JsonValue

from tests.waiting import wait_until

EMBEDDINGS, CHAT = "/v1/embeddings", "/v1/chat/completions"
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


@dataclass(frozen=True)
class Entries:
    """The lines of the files of a batch."""

    answers: Sequence[dict[str, JsonValue]]
    errors: Sequence[dict[str, JsonValue]]

    def bodies(self) -> dict[str, dict[str, JsonValue]]:
        """The bodies of the answers by custom id, of which each is there once."""
        bodies = {str(entry["custom_id"]): entry["response"]["body"] for entry in self.answers}  # type: ignore[index,call-overload]
        assert len(bodies) == len(self.answers)
        return bodies  # type: ignore[return-value]


def entries_of(api: openai.OpenAI, batch: Batch) -> Entries:
    """What a batch has left."""

    def read(id: str | None) -> list[dict[str, JsonValue]]:
        return [] if id is None else [json.loads(text) for text in api.files.content(id).text.splitlines()]

    return Entries(read(batch.output_file_id), read(batch.error_file_id))
