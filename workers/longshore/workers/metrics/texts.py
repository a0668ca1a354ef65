"""Compares generated texts with expected ones.

Exact match and token F1 follow the evaluation of SQuAD (Rajpurkar et al., 2016, https://arxiv.org/abs/1606.05250).
ROUGE-L follows Lin, ROUGE: A Package for Automatic Evaluation of Summaries, 2004, https://aclanthology.org/W04-1013,
with beta 1.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Final

_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
_WORD: Final = re.compile(r"\w+")


def normalize(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, with single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(text: str, reference: str) -> float:
    """1 if both are equal when normalized, otherwise 0."""
    return float(normalize(text) == normalize(reference))


def token_f1(text: str, reference: str) -> float:
    """The harmonic mean of precision and recall of the normalized words, each as often as it occurs."""
    words, expected = normalize(text).split(), normalize(reference).split()
    if not words or not expected:
        return float(words == expected)
    common = sum((Counter(words) & Counter(expected)).values())
    return 2 * common / (len(words) + len(expected))


def rouge_l(text: str, reference: str) -> float:
    """The harmonic mean of precision and recall of the longest common subsequence of words, in lower case."""
    words, expected = _WORD.findall(text.lower()), _WORD.findall(reference.lower())
    if not words or not expected:
        return float(words == expected)
    return 2 * longest_common_subsequence(words, expected) / (len(words) + len(expected))


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Its length. The columns of the usual table are the bits of a number (Hyyro, 2004): linear for short texts.

    A bit of ``row`` is 0 where the entry of the table is larger than the one before it.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    mask = (1 << len(first)) - 1
    row = mask
    for word in second:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & mask
    return len(first) - row.bit_count()
