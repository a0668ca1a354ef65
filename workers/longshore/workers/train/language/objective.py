"""The loss of a language model, and its perplexity on held-out texts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from longshore.workers.train.callbacks import Check
from longshore.workers.train.language.block_rows import IGNORED, BlockRows

#: Above this loss the perplexity is left out, because it is no float64.
_MAX_LOSS = 700.0


@dataclass(frozen=True)
class TokenLoss:
    """Cross entropy of logits ``(n, width, vocabulary)`` and the next tokens ``(n, width)``.

    The sum over the tokens of a batch is divided by those that its blocks have on average over the training, not by its
    own: each token then counts the same, however many there are in its block and in its step. The mean over the blocks
    of an epoch is the mean over its tokens.
    """

    #: Learned tokens of a block, on average.
    tokens: float

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See :data:`~longshore.workers.train.objective.losses.Loss`."""
        total = functional.cross_entropy(
            outputs.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return total / (len(targets) * self.tokens)


class PerplexityEvaluator:
    """The mean loss of a token of held-out blocks, in nats, and the perplexity, its exponential.

    :param size: blocks in one forward pass.
    :param prefix: the prefix of the metric names: ``val_`` or ``test_``.
    """

    def __init__(self, rows: BlockRows, size: int, prefix: str) -> None:
        self._rows = rows
        self._size = size
        self._prefix = prefix

    @torch.no_grad()
    def run(self, network: nn.Module, check: Check) -> dict[str, float]:
        """``loss`` and ``perplexity``, each with the prefix. Leaves ``network`` in evaluation mode."""
        network.eval()
        total = torch.zeros((), dtype=torch.float64)
        count = 0
        for inputs, targets in self._rows.in_order(self._size):
            check()
            losses = functional.cross_entropy(
                network(inputs).flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="none"
            )
            total += losses.double().sum().cpu()
            count += int((targets != IGNORED).sum())
        loss = float(total) / count
        metrics = {"loss": loss, **({"perplexity": math.exp(loss)} if loss <= _MAX_LOSS else {})}
        return {self._prefix + name: value for name, value in metrics.items()}
