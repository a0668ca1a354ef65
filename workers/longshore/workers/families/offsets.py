"""The offsets of columns as a layer, for programs outside of Longshore: workers subtract them from the columns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Offsets(nn.Module):
    """Subtracts a number from each column: float64 ``(n, width)`` to float32 ``(n, width)``.

    :param offsets: one for each column.
    """

    offsets: torch.Tensor

    def __init__(self, offsets: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.float64))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return rows.sub(self.offsets).float()
