"""Tokenizers that are made of texts."""

from __future__ import annotations

import hashlib

import pytest
from tokenizers import Tokenizer as Loaded

from longshore.shared.specs.tokenizer import Tokenizer
from longshore.workers.train.data.tokenizer_training import PAD, UNKNOWN, train_tokenizer
from tests.topics import TOPICS, make_texts

KINDS = ("words", "wordpiece", "bpe")
TEXTS = [*make_texts(300)[0], "Ein Gruß, zwei Größen", "你好 你好", ""]


def trained(kind: str, texts: list[str] = TEXTS, **options: object) -> str:
    return train_tokenizer(Tokenizer.model_validate({"kind": kind, "vocabulary": 400, **options}), texts)


def encoded(content: str, text: str) -> list[str]:
    found: list[str] = Loaded.from_str(content).encode(text).tokens
    return found


def digests() -> str:
    """The SHA-256 of each kind of tokenizer, trained on the same texts."""
    return " ".join(hashlib.sha256(trained(kind).encode()).hexdigest() for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_makes_padding(kind: str) -> None:
    content = trained(kind, [*TEXTS, *[f"{PAD} {UNKNOWN}"] * 50])
    tokenizer = Loaded.from_str(content)
    assert tokenizer.id_to_token(0) == PAD
    assert tokenizer.get_vocab_size() <= 400
    for text in (PAD, f"a{PAD} {UNKNOWN}b", "[ PAD ]", "\0", *TEXTS):
        assert 0 not in tokenizer.encode(text).ids


def test_words() -> None:
    content = trained("words")
    assert encoded(content, "The SALT-water, moon!") == ["the", "salt", "-", "water", UNKNOWN, "moon", UNKNOWN]
    assert encoded(trained("words", lowercase=False), "the SALT") == ["the", UNKNOWN]
    # Gruß occurs once.
    assert encoded(content, "gruß") == [UNKNOWN]
    assert encoded(trained("words", min_frequency=1), "gruß") == ["gruß"]
    assert Loaded.from_str(trained("words", vocabulary=10)).get_vocab_size() == 10


def test_parts_of_words() -> None:
    content = trained("wordpiece")
    known = Loaded.from_str(content).get_vocab()
    assert {word for words in TOPICS.values() for word in words if "-" not in word} <= known.keys()
    # Unknown words are made of known parts.
    assert encoded(content, "moonbread")[0] == "moon"
    assert UNKNOWN not in encoded(content, "moonbread")
    assert encoded(content, "☃") == [UNKNOWN]


def test_bytes_know_every_text() -> None:
    content = trained("bpe")
    assert encoded(content, "moon") == ["Ġmoon"]
    assert encoded(content, "Moon") == ["Ġmoon"]
    assert encoded(trained("bpe", lowercase=False), "Moon") != ["Ġmoon"]
    assert len(encoded(content, "☃")) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_of_nothing_there_is_a_tokenizer_too(kind: str) -> None:
    tokenizer = Loaded.from_str(trained(kind, ["", " "]))
    assert tokenizer.get_vocab_size() == {"words": 2, "wordpiece": 2, "bpe": 257}[kind]
    assert tokenizer.encode("a b").ids.count(0) == 0
