"""Makes text of tokens that come a few at a time, each part of the text once and in time that grows with the part."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Tokens up to which an end that is no character is looked at again with each token. After that, whenever they have
#: become twice as many: what a model writes that is no text must not take time with the square of its length.
_LOOKS: Final = 8
#: The tokens of some tokenizers that stand for one byte. What they mean can change until another token follows.
_BYTE: Final = re.compile(r"<0x[0-9A-Fa-f]{2}>")
#: Tokens of one character, at most: it has four bytes, and the first can be in a token with others before it.
_MAX_CHARACTER_TOKENS: Final = 4
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


class TextDecoder:
    """The text of one request, without special tokens.

    :param stops: texts that end it. What can become one of them is held back.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        #: Tokens without a text. Bytes on both sides of one can be a character.
        self._special = {id_ for id_, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        self._held_back = ""
        #: Tokens whose text was given and that are decoded with those after them: decoders join some tokens.
        self._context: list[int] = []
        #: Tokens whose text was not given.
        self._pending: list[int] = []
        self._looks_at = 0

    def add(self, tokens: Sequence[int]) -> str:
        """Take the next tokens. Returns what they add to the text: whole characters, and nothing of a stop text."""
        self._pending += [token for token in tokens if token not in self._special]
        if len(self._pending) < self._looks_at:
            return ""
        before = len(self._decode(self._context))
        for end in self._ends():
            taken = self._pending[:end]
            text = self._decode(self._context + taken)
            if len(text) > before and not text.endswith(_REPLACEMENT):
                self._context, self._pending, self._looks_at = taken, self._pending[end:], 0
                return self._without_stop(text[before:])
        self._looks_at = 0 if len(self._pending) < _LOOKS else 2 * len(self._pending)
        return ""

    def _ends(self) -> Iterator[int]:
        """After how many of the pending tokens a character can end."""
        end = len(self._pending)
        while end and self._is_byte(self._pending[end - 1]):
            end -= 1
        fewest = end - _MAX_CHARACTER_TOKENS if end == len(self._pending) else end - 1
        yield from range(end, max(0, fewest), -1)

    def _without_stop(self, added: str) -> str:
        if not self._stops:
            return added
        text = self._held_back + added
        longest = max(map(len, self._stops))
        first = next(
            (
                start
                for start in range(max(0, len(text) - longest), len(text))
                if any(stop.startswith(text[start:]) for stop in self._stops)
            ),
            len(text),
        )
        self._held_back = text[first:]
        return text[:first]

    def _is_byte(self, token: int) -> bool:
        piece = self._tokenizer.id_to_token(token)
        return piece is not None and _BYTE.fullmatch(piece) is not None

    def _decode(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))
