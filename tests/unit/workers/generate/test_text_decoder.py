"""The text of tokens that come a few at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import AutoTokenizer

from longshore.workers.generate.engines.base import Sampling
from longshore.workers.generate.engines.texts.stop_texts import StopTexts
from longshore.workers.generate.text_decoder import TextDecoder
from tests.language_models import save_chat_tokenizer

TEXT = "the cat 你好,世界 sat 👩‍👩‍👧 under\n the\tred mat éü 🏴󠁧󠁢󠁥󠁮󠁧󠁿 and «ran»  to  the sea. 🙂🙂"


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_chat_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder).backend_tokenizer


@pytest.fixture(scope="module")
def byte_fallback() -> Tokenizer:
    """As of Llama: words with a mark for the space before, and bytes for what is in no word."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁the", "▁cat", "▁sat", "s", "a", "t", "▁red"]
    tokenizer = Tokenizer(models.BPE({piece: id_ for id_, piece in enumerate(pieces)}, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>"])
    return tokenizer


def decoded(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True))


def check(tokenizer: Tokenizer, tokens: Sequence[int], steps: Sequence[int]) -> str:
    """What comes in steps is always the beginning of the whole text."""
    decoder, text, at = TextDecoder(tokenizer), "", 0
    whole = decoded(tokenizer, tokens)
    for step in steps:
        text += decoder.add(tokens[at : at + step])
        at += step
        assert whole.startswith(text)
    return text


def test_characters_of_several_tokens_come_whole(byte_level: Tokenizer) -> None:
    tokens = byte_level.encode(TEXT).ids
    assert len(tokens) > 90
    assert check(byte_level, tokens, [1] * len(tokens)) == TEXT
    assert check(byte_level, tokens, [7] * (len(tokens) // 7 + 1)) == TEXT


@pytest.mark.parametrize("kind", ["byte_level", "byte_fallback"])
def test_random_tokens_come_as_they_are_in_the_whole_text(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    generator = random.Random(7)
    good = list(range(3, tokenizer.get_vocab_size()))
    for _ in range(200):
        # Bytes that are no text, valid characters, and special tokens between them.
        tokens: list[int] = []
        while len(tokens) < 60:
            tokens += [generator.choice(good)] if generator.random() < 0.7 else tokenizer.encode("你🙂").ids
            tokens += [0] if generator.random() < 0.1 else []  # a special token
        steps = [generator.randint(1, 3) for _ in tokens]
        text = check(tokenizer, tokens, steps)
        # And nothing is held back that is certain: what follows a word.
        assert check(tokenizer, [*tokens, good[-1]], [*steps, 1]).startswith(text)


def test_no_part_of_a_stop_text_comes(byte_level: Tokenizer) -> None:
    generator = random.Random(3)
    for _ in range(300):
        stops = tuple("".join(generator.choices("ab 你", k=generator.randint(1, 5))) for _ in range(3))
        tokens = byte_level.encode("".join(generator.choices("ab 你c", k=40))).ids
        stop = StopTexts(byte_level, Sampling(max_tokens=99, stop=stops))
        decoder, text = TextDecoder(byte_level, stops), ""
        for count in range(1, len(tokens) + 1):
            final = stop.cut(tokens[:count])
            if final is not None:
                break
            text += decoder.add(tokens[count - 1 : count])
        assert (final or decoded(byte_level, tokens)).startswith(text)


@pytest.mark.parametrize("before", ["🙂🙂🙂", "é🙂é🙂日本語", "ÿ" * 9])
def test_a_stop_text_is_found_behind_characters_of_many_bytes(byte_fallback: Tokenizer, before: str) -> None:
    tokens = byte_fallback.encode(f"{before}\n").ids
    assert len(tokens) > len(before) + 1
    stop = StopTexts(byte_fallback, Sampling(max_tokens=99, stop=("\n",)))
    assert stop.cut(tokens[:-1]) is None
    assert stop.cut(tokens) == before


def test_what_cannot_become_a_stop_text_comes_at_once(byte_level: Tokenizer) -> None:
    decoder = TextDecoder(byte_level, ["END", "\n\n"])
    texts = [decoder.add(byte_level.encode(part).ids) for part in ("the E", "N", "T\n", "sea", "\n")]
    assert texts == ["the ", "", "ENT", "\nsea", ""]


def test_the_work_does_not_grow_with_the_square_of_what_is_no_text(byte_level: Tokenizer) -> None:
    class Counting:
        """Counts the tokens that are decoded."""

        decoded = 0

        def decode(self, tokens: list[int], *, skip_special_tokens: bool) -> str:
            self.decoded += len(tokens)
            return str(byte_level.decode(tokens, skip_special_tokens=skip_special_tokens))

        def id_to_token(self, token: int) -> str | None:
            return byte_level.id_to_token(token)

        def get_added_tokens_decoder(self) -> dict[int, AddedToken]:
            return byte_level.get_added_tokens_decoder()

    invalid = byte_level.encode("你").ids[0]  # the first byte of a character, again and again
    for tokens in ([invalid] * 20_000, byte_level.encode("the cat ").ids * 5_000):
        counting = Counting()
        decoder = TextDecoder(counting)  # type: ignore[arg-type]
        for token in tokens:
            decoder.add([token])
        assert counting.decoded < 8 * len(tokens)
