"""Draws tokens: from which of them, and by which random number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import log

import torch

#: Most probable tokens that are sorted before all are.
_SORTED_FIRST = 1024


@dataclass(frozen=True)
class Filters:
    """From which tokens a token is drawn; see :class:`~longshore.workers.generate.engines.base.Sampling`.

    They apply one after the other, as in transformers: temperature, ``top_k``, ``top_p``, ``min_p``. Tokens that are
    as probable as the last one that is kept are kept, too, so the order of equal ones does not matter.
    """

    temperature: float
    top_k: int
    top_p: float
    min_p: float

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits, ``(requests, vocabulary)``, divided by the temperature; minus infinity for other tokens."""
        logits = logits / self.temperature
        if 0 < self.top_k < logits.shape[1]:
            smallest = logits.topk(self.top_k, dim=1).values[:, -1:]
            logits = logits.masked_fill(logits < smallest, -torch.inf)
        if self.top_p < 1:
            logits = logits.masked_fill(logits < self._smallest_of_top_p(logits), -torch.inf)
        if self.min_p > 0:
            smallest = logits.amax(1, keepdim=True) + log(self.min_p)
            logits = logits.masked_fill(logits < smallest, -torch.inf)
        return logits

    def _smallest_of_top_p(self, logits: torch.Tensor) -> torch.Tensor:
        """The smallest logit of the fewest tokens that have the probability ``top_p`` together."""
        total = logits.double().logsumexp(1, keepdim=True)
        count = logits.shape[1]
        best = logits.topk(min(_SORTED_FIRST, count), dim=1).values
        before = self._before(best, total)
        if best.shape[1] < count and bool((before[:, -1] < self.top_p).any()):
            best = logits.sort(dim=1, descending=True).values
            before = self._before(best, total)
        last = (before < self.top_p).sum(1, keepdim=True) - 1
        return best.gather(1, last.clamp(min=0))

    @staticmethod
    def _before(best: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        """The probability of the tokens before each one, most probable first."""
        probabilities = (best.double() - total).exp()
        return probabilities.cumsum(1) - probabilities


def draw(logits: torch.Tensor, uniforms: Sequence[float]) -> torch.Tensor:
    """The token of each request, by the inverse of the distribution function over the vocabulary.

    :param logits: ``(requests, vocabulary)``.
    :param uniforms: a random number for each request, from 0 up to 1.
    """
    sums = (logits - logits.amax(1, keepdim=True)).double().exp().cumsum(1)
    at = torch.tensor(uniforms, dtype=torch.float64, device=logits.device)[:, None] * sums[:, -1:]
    # The number can be rounded up to the sum of all; the first token with that sum is the last one that is possible.
    possible = torch.searchsorted(sums, sums[:, -1:].contiguous())
    return torch.searchsorted(sums, at, right=True).minimum(possible)[:, 0]


def uniform(seed: int, position: int) -> float:
    """A random number, from 0 up to 1, for the token at a position of a text. It is the same on every machine."""
    digest = blake2b(seed.to_bytes(8, "little") + position.to_bytes(8, "little"), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53
