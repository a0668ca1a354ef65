"""Rows that language models are trained on: texts, prompts with their completions, or conversations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

#: What a row is: one text; a prompt and its completion; a list of messages; or a prompt with two answers.
RowLayout: TypeAlias = Literal["text", "completion", "messages", "preference"]

#: The target if the caller gives none: the column of text files.
TEXT: Final = "text"
#: The target that answers the column ``prompt``, unless ``features`` names another column.
COMPLETION: Final = "completion"
#: The role of the messages that are learned.
ASSISTANT: Final = "assistant"
_CONVERSATION: Final = re.compile(r'\s*\[\s*\{\s*"(role|content)"\s*:')


def layout_of(features: Sequence[str], value: object) -> RowLayout:
    """What the rows of a training are.

    :param features: the column of the prompts, or nothing.
    :param value: the target of the first row.
    """
    if features:
        return "completion"
    return "messages" if isinstance(value, list) or is_conversation_text(value) else "text"


def is_conversation_text(value: object) -> bool:
    """Whether a value is a text that begins like a list of messages in JSON."""
    return isinstance(value, str) and _CONVERSATION.match(value) is not None
