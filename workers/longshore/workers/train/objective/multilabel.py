"""The loss of multilabel training, and its distillation loss."""

from __future__ import annotations

import torch
from torch.nn import functional


def binary_cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross entropy of logits ``(n, labels)`` and bools ``(n, labels)``, mean over rows and labels.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html
    """
    return functional.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype))


def binary_divergence(outputs: torch.Tensor, taught: torch.Tensor, temperature: float) -> torch.Tensor:
    """The Kullback-Leibler divergence of the student's outputs from the teacher's, mean over rows and labels.

    The binary cross entropy is a mean over the same, so that the two can be mixed.

    :param outputs: logits of the student, ``(n, labels)``.
    :param taught: logits of the teacher, ``(n, labels)``.
    """
    soft_targets = (taught / temperature).sigmoid()
    cross_entropy = functional.binary_cross_entropy_with_logits(outputs / temperature, soft_targets)
    # The entropy of the teacher, which is the cross entropy of a student that agrees with it.
    entropy = functional.binary_cross_entropy_with_logits(taught / temperature, soft_targets)
    return cross_entropy - entropy
