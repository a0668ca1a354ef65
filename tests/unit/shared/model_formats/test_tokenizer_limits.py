"""Tokenizers that would make a text much longer, or take very long, are refused before they are loaded."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers

from longshore.shared.model_formats.tokenizer_limits import MAX_GROWTH, text_growth, tokenizer_fault

Json = dict[str, object]


def replace(pattern: str, content: str, kind: str = "String") -> Json:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def chain(*steps: Json) -> Json:
    return {"type": "Sequence", "normalizers": list(steps)}


def character_map(text: bytes, key: int = ord("a")) -> str:
    """A map of SentencePiece that replaces one letter by a text."""
    units = np.zeros(512, "<u4")
    units[0] = 256 << 10
    units[256 ^ key] = (((256 ^ key) ^ 511) << 10) | 1 << 8 | key
    units[511] = 1 << 31
    return base64.b64encode(units.nbytes.to_bytes(4, "little") + units.tobytes() + text + b"\0").decode()


#: Normalizers, each with a text that they make as long as they can.
NORMALIZERS: Sequence[tuple[Json, str]] = (
    (replace("a", "bbb"), "aa"),
    (replace("ab", "b" * 7), "abab"),
    (replace(" {2,}", "▁", "Regex"), "a  b"),
    (replace("x*", "zz", "Regex"), "aaaa"),
    (chain(replace("a", "bb"), chain(replace("b", "cccc"))), "aaa"),
    (chain(replace("a", "\ufdfa"), {"type": "NFKD"}), "aaa"),
    (chain({"type": "ByteLevel"}, replace("a", "bb")), "aéa"),
    ({"type": "Precompiled", "precompiled_charsmap": character_map(b"0123456789")}, "aba"),
)


@pytest.mark.parametrize(("normalizer", "text"), NORMALIZERS)
def test_a_text_grows_at_most_as_is_said(normalizer: Json, text: str) -> None:
    document = json.loads(Tokenizer(models.BPE()).to_str()) | {"normalizer": normalizer}
    assert tokenizer_fault(document) is None
    steps = Tokenizer.from_str(json.dumps(document)).normalizer
    assert isinstance(steps, normalizers.Normalizer)
    after = len(steps.normalize_str(text).encode())
    assert len(text.encode()) < after <= text_growth(document) * (len(text.encode()) + 1)


def test_rules_that_replace_each_other_are_refused() -> None:
    rules = [replace("a" if number % 2 else "b", ("b" if number % 2 else "a") * 60) for number in range(12)]
    assert len(json.dumps(chain(*rules))) < 2000
    fault = tokenizer_fault({"normalizer": chain(*rules)})
    assert fault is not None
    assert "can make a text 2.18e+21 times as long, more than 100 times" in fault
    assert tokenizer_fault({"normalizer": chain(*rules[:1])}) is None


def map_step(text: bytes) -> Json:
    return {"type": "Precompiled", "precompiled_charsmap": character_map(text)}


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        ({"normalizer": map_step(b"x" * 1000)}, "1e+03 times as long"),
        (
            {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}] * 10}},
            "its steps can make a text 1.02e+03 times as long",
        ),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAB"}}, "damaged precompiled_charsmap"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "%"}}, "save the tokenizer without it"),
        ({"normalizer": chain(*[replace("a", "b")] * 1001)}, "its normalizer has more than 1000 steps"),
        ({"normalizer": {"type": "Prepend", "prepend": "x" * 10_001}}, "puts 10001 bytes before every text"),
        ({"normalizer": replace("(a+)" * 2501, "b", "Regex")}, "a regular expression of 10004 characters"),
        ({"post_processor": {"type": "TemplateProcessing", "single": [{}] * 1001}}, "adds 1001 tokens"),
        (
            {"post_processor": {"type": "Sequence", "processors": [{"special_tokens": {"a": {"ids": [0] * 1001}}}]}},
            "adds 1001 tokens",
        ),
        (
            {"added_tokens": [{"content": "a" * 2**20}] * 3, "normalizer": replace("a", "b" * 99)},
            "its added tokens can become 3.11e+08 bytes",
        ),
        ({"model": {"max_input_chars_per_word": 10**9}}, "max_input_chars_per_word 1e+09, more than 1000"),
        ({"model": {"max_input_chars_per_word": 10**5000}}, "max_input_chars_per_word 1e+300, more than 1000"),
    ],
)
def test_what_takes_too_much_is_refused(tokenizer: Json, message: str) -> None:
    assert message in str(tokenizer_fault(tokenizer))


def test_steps_inside_of_each_other_are_read_without_recursion() -> None:
    step = replace("a", "b" * int(MAX_GROWTH + 1))
    for _ in range(5000):
        step = chain(step)
    assert "more than 1000 steps" in str(tokenizer_fault({"normalizer": step}))
