"""Finds the texts that end an output, although they begin and end within tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from longshore.workers.generate.engines.base import Sampling

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Tokens before the place where a stop text can begin that are decoded with it: a decoder can drop a space at the start
#: of a text, and the first tokens can be the rest of a character.
_CONTEXT_TOKENS: Final = 8
#: Tokens of some tokenizers that stand for one byte, and not for the first one of a character.
_INNER_BYTE: Final = re.compile(r"<0x[89AB][0-9A-F]>")
#: Such bytes of one character, at most.
_MAX_INNER_BYTES: Final = 3


class StopTexts:
    """The stop texts of one request."""

    def __init__(self, tokenizer: Tokenizer, sampling: Sampling) -> None:
        self._tokenizer = tokenizer
        self._stops = sampling.stop
        self._min_tokens = sampling.min_tokens
        # A token that is not skipped has one byte or more.
        self._tokens = max(len(stop.encode()) for stop in sampling.stop) + _CONTEXT_TOKENS

    def cut(self, tokens: Sequence[int]) -> str | None:
        """The text before the first stop text, after each token; ``None`` if there is none yet.

        :param tokens: all tokens of the text.
        """
        end = self._tokenizer.decode(tokens[self._start(tokens) :], skip_special_tokens=True)
        if not any(stop in end for stop in self._stops):
            return None
        return cut_text(self._tokenizer, tokens, self._stops, self._min_tokens)

    def _start(self, tokens: Sequence[int]) -> int:
        """From where on tokens are looked at. If it is within a character, no byte up to the next word has a text."""
        start = max(0, len(tokens) - self._tokens)
        for _ in range(_MAX_INNER_BYTES):
            piece = self._tokenizer.id_to_token(tokens[start]) if start else None
            if piece is None or _INNER_BYTE.fullmatch(piece) is None:
                break
            start -= 1
        return start


def cut_text(tokenizer: Tokenizer, tokens: Sequence[int], stops: Sequence[str], min_tokens: int) -> str | None:
    """The text before the first stop text that ends after ``min_tokens`` tokens; ``None`` if there is none.

    The first is the one that ends first, as if characters came one by one, whatever the tokens are.
    """
    text = tokenizer.decode(tokens, skip_special_tokens=True)
    kept = len(tokenizer.decode(tokens[:min_tokens], skip_special_tokens=True)) if min_tokens else 0
    found = [(text.find(stop, max(0, kept - len(stop) + 1)), len(stop)) for stop in stops]
    at, _ = min((each for each in found if each[0] >= 0), key=sum, default=(None, 0))
    return None if at is None else text[:at]
