"""The loss of embeddings: rows of one class shall be near each other, and far from all others.

Khosla et al., "Supervised contrastive learning", 2020, https://arxiv.org/abs/2004.11362, equation 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class SupervisedContrastive:
    """The loss of one batch.

    Each row is an anchor, and those of its class are its positives. Its loss is the mean over the positives of minus
    the logarithm of the softmax, over all other rows of the batch, of cosines divided by the temperature. A row without
    a positive in its batch counts nothing; of a batch without any the loss is 0.
    """

    temperature: float

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """From vectors ``(n, width)`` of any length and classes ``(n,)`` to the mean loss. Takes n x n numbers."""
        # The softmax of large quotients is no work for half the bits.
        with torch.autocast(outputs.device.type, enabled=False):
            vectors = functional.normalize(outputs.float(), dim=1)
            closeness = vectors @ vectors.T / self.temperature
            own = torch.eye(len(targets), dtype=torch.bool, device=outputs.device)
            positive = (targets[:, None] == targets[None, :]) & ~own
            # Not minus infinity: of a batch of one row nothing would be left, and its gradient would be no number.
            others = closeness.masked_fill(own, torch.finfo(torch.float32).min)
            logs = torch.log_softmax(others, dim=1).masked_fill(~positive, 0.0)
            positives = positive.sum(dim=1)
            losses = -logs.sum(dim=1) / positives.clamp(min=1)
            # Nothing here waits for the device, as picking the rows that count would.
            return losses.sum() / (positives > 0).sum().clamp(min=1)
