"""What a worker adds to the texts of a job while it writes them, on its way to whoever shows them.

It travels on a channel of Redis, which keeps nothing and waits for nobody: what a reader misses is lost. The row in the
table ``results`` is the truth, and the reader shows it at the end. Each addition says where in the text it begins, so
that a reader notices what it has missed, and what comes again from a second attempt.

    longshore:tokens:{job}    a JSON array of [row, index, attempt, start, text]
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Final
from uuid import UUID

from longshore.broker.redis_address import RedisAddress

#: The start of the names of the channels.
CHANNEL: Final = "longshore:tokens:"


@dataclass(frozen=True)
class TextDelta:
    """An addition to one text of a row."""

    #: The number of the row in the job.
    row: int
    #: Which of the texts of the row, from 0.
    index: int
    #: The number of the attempt that writes it.
    attempt: int
    #: Characters of the text before the addition.
    start: int
    text: str


def text_channel(address: RedisAddress, job: UUID) -> str:
    """The channel of a job. Channels belong to no database of Redis, so that its number is part of the name."""
    return f"{address.prefix}/{address.db}.{CHANNEL}{job}"


def encode_deltas(deltas: Sequence[TextDelta]) -> str:
    """The message with these additions."""
    return json.dumps([astuple(delta) for delta in deltas], ensure_ascii=False, separators=(",", ":"))


def decode_deltas(message: str | bytes) -> list[TextDelta]:
    """The additions of a message."""
    return [TextDelta(*each) for each in json.loads(message)]
