"""The loss of embeddings, against its formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from longshore.workers.train.objective.contrastive import SupervisedContrastive

VECTORS = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
CLASSES = torch.tensor([0, 1, 0, 2, 1, 0, 3, 2, 1])


def by_hand(vectors: torch.Tensor, classes: list[int], temperature: float) -> float:
    """Equation 2 of Khosla et al., row by row in float64; the mean over the rows that have positives."""
    rows = [[float(number) for number in vector] for vector in vectors]
    units = [[number / math.sqrt(sum(each * each for each in row)) for number in row] for row in rows]

    def closeness(one: int, other: int) -> float:
        return sum(a * b for a, b in zip(units[one], units[other], strict=True)) / temperature

    losses = []
    for anchor in range(len(rows)):
        others = [row for row in range(len(rows)) if row != anchor]
        positives = [row for row in others if classes[row] == classes[anchor]]
        if not positives:
            continue
        total = sum(math.exp(closeness(anchor, row)) for row in others)
        logs = [math.log(math.exp(closeness(anchor, row)) / total) for row in positives]
        losses.append(-sum(logs) / len(positives))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_it_is_that_of_the_paper(temperature: float) -> None:
    loss = SupervisedContrastive(temperature)
    wanted = by_hand(VECTORS, CLASSES.tolist(), temperature)
    assert float(loss(VECTORS, CLASSES)) == pytest.approx(wanted, rel=1e-5)
    # The length of vectors counts nothing.
    assert float(loss(VECTORS * 7, CLASSES)) == pytest.approx(wanted, rel=1e-5)


def test_rows_alone_in_their_class_count_nothing_but_as_others() -> None:
    loss = SupervisedContrastive(0.5)
    without = by_hand(VECTORS[:6], [0, 1, 0, 2, 1, 0], 0.5)
    assert float(loss(VECTORS[:6], torch.tensor([0, 1, 0, 2, 1, 0]))) == pytest.approx(without, rel=1e-5)
    alone = VECTORS.clone().requires_grad_()
    nothing = loss(alone, torch.arange(9))
    [gradient] = torch.autograd.grad(nothing, alone)
    assert float(nothing.detach()) == 0.0
    assert gradient.eq(0).all()


def test_a_batch_of_one_row_or_of_vectors_of_zeros_has_a_gradient_that_is_a_number() -> None:
    loss = SupervisedContrastive(0.1)
    for vectors, classes in ((VECTORS[:1].clone(), CLASSES[:1]), (torch.zeros(4, 3), torch.tensor([0, 0, 1, 1]))):
        vectors.requires_grad_()
        found = loss(vectors, classes)
        [gradient] = torch.autograd.grad(found, vectors)
        assert torch.isfinite(found)
        assert torch.isfinite(gradient).all()


def test_steps_along_its_gradient_bring_classes_together() -> None:
    vectors = VECTORS.clone().requires_grad_()
    for _ in range(300):
        [gradient] = torch.autograd.grad(SupervisedContrastive(0.5)(vectors, CLASSES), vectors)
        vectors = (vectors - 0.5 * gradient).detach().requires_grad_()
    units = functional.normalize(vectors.detach(), dim=1)
    cosines = units @ units.T
    same = (CLASSES[:, None] == CLASSES[None, :]) & ~torch.eye(9, dtype=torch.bool)
    other = CLASSES[:, None] != CLASSES[None, :]
    assert cosines[same].min() > 0.9 > cosines[other].max()
