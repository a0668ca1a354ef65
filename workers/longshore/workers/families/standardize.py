"""Standardisation as the first layer, so that it is part of the weights and inference takes raw rows."""

from __future__ import annotations

import torch
from torch import nn

#: Numbers measured in one step: their float64 copy stays in a core's cache, and no more memory is needed.
_STEP = 400_000


class Standardize(nn.Module):
    """``(x - mean) / std``, column by column: float32 ``(n, width)`` to ``(n, width)``.

    :param mean: float32 ``(width,)``.
    :param std: float32 ``(width,)``, nowhere 0.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    @classmethod
    def empty(cls, width: int) -> Standardize:
        """One that changes nothing, to be filled from a weights file."""
        return cls(torch.zeros(width), torch.ones(width))

    @classmethod
    def measure(cls, rows: torch.Tensor, numbers: torch.Tensor) -> Standardize:
        """Measure mean and (population) standard deviation of some of ``rows``, float32 ``(n, width)``.

        A column that holds one value throughout gets std 1, so that it becomes 0.

        :param numbers: int64: which rows to measure, one or more.
        """
        first = rows[numbers[0]].double()
        total, squares = torch.zeros_like(first), torch.zeros_like(first)
        for picked in torch.split(numbers, max(1, _STEP // rows.shape[1])):
            # Float64, and counted from the first row: a column like a timestamp has a mean far above its spread.
            away = rows.index_select(0, picked).double().sub_(first)
            total += away.sum(dim=0)
            squares += away.square_().sum(dim=0)
        mean = total / len(numbers)
        std = (squares / len(numbers) - mean.square()).clamp_(min=0).sqrt_().float()
        return cls((first + mean).float(), torch.where((squares == 0) | (std == 0), 1, std))

    def apply_(self, rows: torch.Tensor) -> None:
        """Standardise ``rows`` in place, to the same bits as :meth:`forward` gives."""
        rows.sub_(self.mean).div_(self.std)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Standardise ``rows``; they stay as they are."""
        return rows.sub(self.mean).div_(self.std)
