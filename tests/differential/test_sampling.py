"""Tokens are chosen as transformers' own logits processors choose them, and drawn as probabilities say."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from longshore.workers.generate.engines.base import Sampling
from longshore.workers.generate.engines.draws import Filters, draw, uniform
from longshore.workers.generate.engines.sampling import RequestSampler
from tests.differential.cases import COMPARED, case_count, seeds


def random_logits(generator: torch.Generator, rows: int, size: int) -> torch.Tensor:
    return torch.randn((rows, size), generator=generator) * 4


@pytest.mark.parametrize("seed", seeds(20))
def test_filters_are_those_of_transformers(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = [7, 300, 5000][seed % 3]
    logits = random_logits(generator, 4, size)

    def number(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    top_k = int(number(0, 60)) if seed % 2 else 0
    filters = Filters(number(0.1, 3), top_k, number(0.05, 1) if seed % 5 else 1.0, number(0, 0.5) if seed % 4 else 0.0)
    theirs = LogitsProcessorList([TemperatureLogitsWarper(filters.temperature)])
    if filters.top_k:
        theirs.append(TopKLogitsWarper(filters.top_k))
    if filters.top_p < 1:
        theirs.append(TopPLogitsWarper(filters.top_p))
    if filters.min_p:
        theirs.append(MinPLogitsWarper(filters.min_p))
    expected = theirs(torch.zeros((4, 1), dtype=torch.long), logits.clone())  # type: ignore[arg-type]
    torch.testing.assert_close(filters.apply(logits), expected)
    COMPARED.add()


@pytest.mark.parametrize("seed", seeds(10))
def test_penalties_are_those_of_transformers_and_of_openai(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    prompt = torch.randint(0, 40, (20,), generator=generator).tolist()
    text = torch.randint(0, 40, (15,), generator=generator).tolist()
    logits = random_logits(generator, 1, 50)[0]
    sampling = Sampling(
        max_tokens=99, min_tokens=16, repetition_penalty=1.7, presence_penalty=0.4, frequency_penalty=0.3
    )
    request = RequestSampler(sampling, prompt, [3, 44])
    for token in text:
        request.take(token)
    ids = torch.tensor([prompt + text])
    expected = RepetitionPenaltyLogitsProcessor(1.7)(ids, logits[None].clone())[0]
    for token in set(text):  # https://platform.openai.com/docs/api-reference/parameter-details
        expected[token] -= text.count(token) * 0.3 + 0.4
    expected = MinNewTokensLengthLogitsProcessor(len(prompt), 16, [3, 44])(ids, expected[None])[0]
    request.adjust(logits)
    torch.testing.assert_close(logits, expected)
    request.take(1)
    unmasked = random_logits(generator, 1, 50)[0]
    request.adjust(unmasked)
    assert unmasked.isfinite().all()
    COMPARED.add()


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0, -torch.inf, 0.0])
    count = case_count(20_000)
    chosen = draw(logits.expand(count, -1), [uniform(seed, seed % 7) for seed in range(count)])
    observed = chosen.bincount(minlength=5) / count
    # Five standard deviations of the count of the most uncertain token.
    assert (observed - logits.softmax(0)).abs().max() < 5 * (0.25 / count) ** 0.5
    assert observed[3] == 0
    COMPARED.add()


def test_the_largest_and_the_smallest_number_draw_possible_tokens() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, 1.0, -torch.inf]]).expand(3, -1)
    assert draw(logits, [0.0, 1 - 2**-53, 1.0]).tolist() == [1, 2, 2]


def test_numbers_of_other_seeds_and_positions_are_others() -> None:
    assert len({uniform(seed, position) for seed in range(30) for position in range(30)}) == 900
    # Texts of a seed stay the same over releases.
    assert uniform(7, 3) == 0.1846062188940475
