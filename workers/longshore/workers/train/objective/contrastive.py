"""The loss of embeddings: rows of one class should be near each other, and far from all others.

Khosla et al., "Supervised contrastive learning", 2020, https://arxiv.org/abs/2004.11362, equation 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class SupervisedContrastive:
    """The loss of one batch.

    Each row is an anchor, and the other rows of its class are its positives. Its loss is the mean over the positives of
    the negative log softmax, over all other rows of the batch, of cosines divided by the temperature. A row without
    a positive in its batch does not count; the loss of a batch without positives is 0.
    """

    temperature: float

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """From vectors ``(n, width)`` of any length and classes ``(n,)`` to the mean loss. Takes n x n numbers."""
        # 16 bits are too few for the softmax of large quotients.
        with torch.autocast(outputs.device.type, enabled=False):
            vectors = functional.normalize(outputs.float(), dim=1)
            closeness = vectors @ vectors.T / self.temperature
            own = torch.eye(len(targets), dtype=torch.bool, device=outputs.device)
            positive = (targets[:, None] == targets[None, :]) & ~own
            # Not minus infinity: the gradient of a batch of one row would be NaN.
            others = closeness.masked_fill(own, torch.finfo(torch.float32).min)
            logs = torch.log_softmax(others, dim=1).masked_fill(~positive, 0.0)
            positives = positive.sum(dim=1)
            losses = -logs.sum(dim=1) / positives.clamp(min=1)
            # This does not wait for the device, as selecting the rows that count would.
            return losses.sum() / (positives > 0).sum().clamp(min=1)
