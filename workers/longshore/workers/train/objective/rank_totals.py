"""Combines what the ranks of a training have measured, so that each has the metrics of all rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from longshore.workers.train.strategy.base import Strategy


@dataclass(frozen=True)
class RankTotals:
    """Sums and rows of all ranks. Every rank calls the same methods in the same order."""

    strategy: Strategy
    #: Whether each rank has measured rows of its own; otherwise each has measured all rows.
    sharded: bool

    def sums(self, values: torch.Tensor) -> npt.NDArray[np.generic]:
        """The sums over the ranks. Waits for the device."""
        total = self.strategy.all_reduce(values) if self.sharded else values
        return total.cpu().numpy()

    def each(self, values: torch.Tensor) -> npt.NDArray[np.generic]:
        """The values ``(...)`` of each rank, ``(ranks, ...)``."""
        alone = self.strategy.world_size == 1 or not self.sharded
        return (values[None] if alone else self.strategy.all_gather(values)).cpu().numpy()

    def rows(self, values: torch.Tensor) -> npt.NDArray[np.generic]:
        """The rows ``(n, ...)`` of all ranks, one rank after the other."""
        counts = self.each(torch.tensor(len(values), device=values.device)).tolist()
        padding = values.new_zeros((max(counts) - len(values), *values.shape[1:]))
        by_rank = self.each(torch.cat([values, padding]))
        return np.concatenate([part[:count] for part, count in zip(by_rank, counts, strict=True)])
