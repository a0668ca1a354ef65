"""The loss of several labels a row."""

from __future__ import annotations

import torch
from torch.distributions import Bernoulli, kl_divergence
from torch.nn import BCEWithLogitsLoss

from longshore.workers.train.objective.multilabel import binary_cross_entropy, binary_divergence

LOGITS = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)) * 3
TAUGHT = torch.randn(7, 3, generator=torch.Generator().manual_seed(1)) * 3


def test_it_is_the_mean_over_rows_and_labels() -> None:
    targets = torch.rand(7, 3, generator=torch.Generator().manual_seed(2)) > 0.5
    loss = binary_cross_entropy(LOGITS, targets)
    torch.testing.assert_close(loss, BCEWithLogitsLoss()(LOGITS, targets.float()))
    chances = 1 / (1 + torch.exp(-LOGITS))
    by_hand = -torch.where(targets, chances.log(), (1 - chances).log())
    torch.testing.assert_close(loss, by_hand.sum() / 21)


def test_the_divergence_from_a_teacher_is_that_of_its_probabilities() -> None:
    for temperature in (1.0, 2.5):
        found = binary_divergence(LOGITS, TAUGHT, temperature)
        wanted = kl_divergence(Bernoulli(logits=TAUGHT / temperature), Bernoulli(logits=LOGITS / temperature))
        torch.testing.assert_close(found, wanted.mean())
    assert abs(float(binary_divergence(TAUGHT, TAUGHT, 2.0))) < 1e-6
