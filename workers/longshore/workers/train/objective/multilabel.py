"""The loss of any number of labels a row, and what it learns from a teacher."""

from __future__ import annotations

import torch
from torch.nn import functional


def binary_cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean over rows and labels of logits ``(n, labels)`` and bools ``(n, labels)``.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html
    """
    return functional.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype))


def binary_divergence(outputs: torch.Tensor, taught: torch.Tensor, temperature: float) -> torch.Tensor:
    """The Kullback-Leibler divergence of a label's two outcomes from the teacher's, mean over rows and labels.

    As the binary cross entropy is such a mean, both can be mixed.

    :param outputs: logits ``(n, labels)``; ``taught`` are the teacher's.
    """
    wanted = (taught / temperature).sigmoid()
    own = functional.binary_cross_entropy_with_logits(outputs / temperature, wanted)
    # What is left where both say the same: the teacher's entropy.
    least = functional.binary_cross_entropy_with_logits(taught / temperature, wanted)
    return own - least
