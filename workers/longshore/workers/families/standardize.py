"""Standardisation as the first layer: it is part of the weights, and inference takes raw rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

#: Values measured in one step. Their float64 copy fits the cache of a core and needs little memory.
_STEP = 400_000


class Standardize(nn.Module):
    """``(x - mean) / std``, column by column: float32 ``(n, width)`` to ``(n, width)``.

    :param mean: float32 ``(width,)``.
    :param std: float32 ``(width,)``, without zeros.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    @classmethod
    def empty(cls, width: int) -> Standardize:
        """The identity, to be filled from a weights file."""
        return cls(torch.zeros(width), torch.ones(width))

    @classmethod
    def measure(cls, rows: torch.Tensor, numbers: torch.Tensor) -> Standardize:
        """Measure mean and (population) standard deviation of some of ``rows``, float32 ``(n, width)``.

        A constant column gets std 1, so that it becomes 0.

        :param numbers: int64 indexes of the rows to measure; at least one.
        """
        first = rows[numbers[0]].double()
        total, squares = torch.zeros_like(first), torch.zeros_like(first)
        for picked in torch.split(numbers, max(1, _STEP // rows.shape[1])):
            # Float64, relative to the first row: the mean of a column like a timestamp is far larger than its spread.
            away = rows.index_select(0, picked).double().sub_(first)
            total += away.sum(dim=0)
            squares += away.square_().sum(dim=0)
        mean = total / len(numbers)
        std = (squares / len(numbers) - mean.square()).clamp_(min=0).sqrt_().float()
        return cls((first + mean).float(), torch.where((squares == 0) | (std == 0), 1, std))

    def without(self, positions: Sequence[int]) -> Standardize:
        """The same, but for some columns, which it leaves as they are."""
        mean, std = self.mean.clone(), self.std.clone()
        mean[list(positions)], std[list(positions)] = 0, 1
        return Standardize(mean, std)

    def apply_(self, rows: torch.Tensor) -> None:
        """Standardise ``rows`` in place, bit-identical to :meth:`forward`."""
        rows.sub_(self.mean).div_(self.std)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return standardised rows; ``rows`` does not change."""
        return rows.sub(self.mean).div_(self.std)
