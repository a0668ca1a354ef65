"""Texts that are being generated, as the ledger keeps them for another attempt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, TypeAlias

from pydantic import TypeAdapter, ValidationError

from longshore.shared.ledger.shards.partial_texts import TextPiece
from longshore.workers.generate.engines.base import BegunText, TokenLogprob
from longshore.workers.generate.outputs import LEAST_LOGPROB

#: The row of a text in its job, and which of the texts of the row it is.
TextName: TypeAlias = tuple[int, int]

#: Of each token its log probability, and the most probable tokens with theirs.
_LOGPROBS: Final = TypeAdapter(list[tuple[float, list[tuple[int, float]]]])


def text_piece(name: TextName, text: BegunText, start: int) -> TextPiece:
    """What a text has from a token on."""
    logprobs = None if text.logprobs is None else _write(text.logprobs[start:])
    return TextPiece(row=name[0], index=name[1], start=start, tokens=text.tokens[start:], logprobs=logprobs)


def begun_texts(parts: Sequence[TextPiece]) -> dict[TextName, BegunText]:
    """The texts that consist of some parts.

    :param parts: by row, index and start.
    """
    tokens: dict[TextName, list[int]] = {}
    logprobs: dict[TextName, list[TokenLogprob]] = {}
    for part in parts:
        name = part.row, part.index
        text = tokens.setdefault(name, [])
        if part.start == len(text):  # otherwise a part before it is missing
            text += part.tokens
            logprobs.setdefault(name, []).extend(_read(part))
    # A text whose log probabilities were not asked for, or cannot be read, has none.
    return {
        name: BegunText(text, logprobs[name] if len(logprobs[name]) == len(text) else None)
        for name, text in tokens.items()
        if text
    }


def _write(logprobs: Sequence[TokenLogprob]) -> str:
    def stored(value: float) -> float:  # as in an output: JSON has no infinity, and no NaN
        return value if value > LEAST_LOGPROB else LEAST_LOGPROB

    return json.dumps(
        [(stored(each.logprob), [(token, stored(value)) for token, value in each.top]) for each in logprobs]
    )


def _read(part: TextPiece) -> list[TokenLogprob]:
    try:
        read = _LOGPROBS.validate_json(part.logprobs or "[]")
    except ValidationError:
        return []
    return [TokenLogprob(token, logprob, tuple(top)) for token, (logprob, top) in zip(part.tokens, read, strict=False)]
