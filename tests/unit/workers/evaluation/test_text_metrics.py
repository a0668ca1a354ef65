"""Metrics of generated texts, compared with implementations that follow the papers word by word."""

from __future__ import annotations

import math
import random
import re
import string
from collections import Counter
from functools import cache

import numpy as np
import pytest

from longshore.workers.evaluation.bootstrap import Bootstrap
from longshore.workers.evaluation.text_rows import TextRows
from longshore.workers.metrics.texts import exact_match, longest_common_subsequence, rouge_l, token_f1

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "an", "old", "dog", "ran", "to", "the", "sea"]


def texts(count: int) -> list[tuple[str, str]]:
    source = random.Random(0)

    def text() -> str:
        words = [source.choice(WORDS) for _ in range(source.randrange(12))]
        return " ".join(source.choice([word, word.upper(), f"{word},", f"({word})"]) for word in words)

    return [(text(), text()) for _ in range(count)]


def squad_normalized(text: str) -> list[str]:
    """Lower text and remove punctuation, articles and extra whitespace, as the official script says."""
    text = "".join(character for character in text.lower() if character not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def squad_f1(prediction: str, truth: str) -> float:
    predicted, true = squad_normalized(prediction), squad_normalized(truth)
    same = sum((Counter(predicted) & Counter(true)).values())
    if not predicted or not true:
        return float(predicted == true)
    if same == 0:
        return 0.0
    precision, recall = same / len(predicted), same / len(true)
    return 2 * precision * recall / (precision + recall)


def lin_rouge_l(candidate: str, reference: str) -> float:
    """Section 3.1 of the paper, with the recurrence of the longest common subsequence of Cormen et al."""
    y, x = re.findall(r"\w+", candidate.lower()), re.findall(r"\w+", reference.lower())

    @cache
    def lcs(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return 0
        if x[i - 1] == y[j - 1]:
            return lcs(i - 1, j - 1) + 1
        return max(lcs(i - 1, j), lcs(i, j - 1))

    if not x or not y:
        return float(x == y)
    recall, precision = lcs(len(x), len(y)) / len(x), lcs(len(x), len(y)) / len(y)
    return 0.0 if not recall else 2 * recall * precision / (recall + precision)


def test_as_the_papers_define_them() -> None:
    for text, reference in texts(500):
        assert exact_match(text, reference) == float(squad_normalized(text) == squad_normalized(reference))
        assert token_f1(text, reference) == pytest.approx(squad_f1(text, reference))
        assert rouge_l(text, reference) == pytest.approx(lin_rouge_l(text, reference))


@pytest.mark.parametrize(
    ("text", "reference", "exact", "f1", "rouge"),
    [
        ("The Eiffel Tower.", "eiffel tower", 1.0, 1.0, 0.8),
        ("police killed the gunman", "police kill the gunman", 0.0, 2 / 3, 0.75),
        ("the gunman kill police", "police kill the gunman", 0.0, 1.0, 0.5),
        ("", "the", 1.0, 1.0, 0.0),
        ("", "", 1.0, 1.0, 1.0),
        ("Straße", "STRASSE", 0.0, 0.0, 0.0),
    ],
)
def test_of_examples(text: str, reference: str, exact: float, f1: float, rouge: float) -> None:
    assert exact_match(text, reference) == exact
    assert token_f1(text, reference) == pytest.approx(f1)
    assert rouge_l(text, reference) == pytest.approx(rouge)


def test_long_texts_take_little_time() -> None:
    words = [str(number % 700) for number in range(20_000)]
    assert longest_common_subsequence(words, words) == 20_000


def test_of_several_expected_texts_the_best_counts() -> None:
    collector = TextRows(2)
    collector.add(0, "a red dog", ("blue", "the red dog"))
    collector.add(1, "green\0", ("blue", "red"))
    collector.add(4, "red cat", ("red dog",), valid=None)
    measured = collector.measure(Bootstrap(200, 0, lambda: None))
    assert measured.metrics == {"exact_match": pytest.approx(1 / 3), "token_f1": 0.5, "rouge_l": pytest.approx(7 / 18)}
    assert [(row.row, row.target, row.prediction, row.loss) for row in measured.worst] == [
        (1, "blue", "green\N{REPLACEMENT CHARACTER}", 1.0),
        (4, "red dog", "red cat", 0.5),
    ]
    low, high = measured.intervals["token_f1"]
    assert 0 <= low < 0.5 < high <= 1


def test_perplexity_is_over_all_tokens() -> None:
    random_numbers = np.random.default_rng(0)
    tokens = random_numbers.integers(1, 40, 400)
    costs = tokens * random_numbers.gamma(4.0, 0.5, 400)
    collector = TextRows(0)
    for row, (cost, count) in enumerate(zip(costs, tokens, strict=True)):
        collector.add(row, "x", ("x",), valid=row % 4 == 0)
        collector.add_cost(row, float(cost), int(count))
    measured = collector.measure(Bootstrap(2000, 0, lambda: None))
    assert measured.metrics["perplexity"] == pytest.approx(math.exp(costs.sum() / tokens.sum()))
    assert measured.metrics["json_validity"] == 0.25
    # Resampled row by row, without the linear approximation.
    places = random_numbers.integers(0, 400, (2000, 400))
    resampled = np.exp(costs[places].sum(axis=1) / tokens[places].sum(axis=1))
    expected = np.quantile(resampled, (0.025, 0.975))
    assert measured.intervals["perplexity"] == pytest.approx(tuple(expected), rel=0.02)
    assert measured.worst == ()
