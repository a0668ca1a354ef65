"""Rows that language models are trained on: texts, prompts with their completions, or conversations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, TypeAlias

from longshore.shared.specs.validation import shorten

#: What a row is: one text; a prompt and its completion; or a list of messages.
RowLayout: TypeAlias = Literal["text", "completion", "messages"]
#: One message: ``role``, ``content`` and whatever else the chat template of a version reads.
Message: TypeAlias = dict[str, object]

#: The column that a completion answers, unless ``features`` names another one.
PROMPT, COMPLETION = "prompt", "completion"
#: The role of the messages that are learned.
ASSISTANT = "assistant"


def layout_of(features: Sequence[str], value: object) -> RowLayout:
    """What the rows of a training are.

    :param features: the column of the prompts, or nothing.
    :param value: the target of the first row.
    """
    if features:
        return "completion"
    return "messages" if _is_conversation(value) else "text"


def _is_conversation(value: object) -> bool:
    try:
        return bool(read_messages(value))
    except ValueError:
        # An array of Arrow, or a text that begins like a list of messages: the reader names what is wrong with it.
        return isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith('[{"role"'))


def read_messages(value: object) -> list[Message]:
    """The messages of a row.

    :param value: a list of objects, or the same as JSON.
    :raises ValueError: says what is wrong.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"{shorten(value)} is not a list of messages in JSON") from None
    if not isinstance(value, list):
        raise ValueError(f"{shorten(value)} is not a list of messages")
    if not value:
        raise ValueError("has no message")
    return [_message(number, message) for number, message in enumerate(value)]


def _message(number: int, message: object) -> Message:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise ValueError(f"message {number} is {shorten(message)}, not an object with role and content")
    # Arrow gives every message the keys of all others.
    kept = {str(key): value for key, value in message.items() if value is not None}
    if not isinstance(kept.setdefault("content", ""), str):
        raise ValueError(f"message {number} has the content {shorten(kept['content'])}, which is no text")
    return kept
