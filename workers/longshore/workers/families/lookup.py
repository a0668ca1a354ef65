"""The first part of a network for tables: codes of categories and words become the numbers that a family takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import CategoryTransform, TextTransform


class ColumnLookup(nn.Module):
    """Rows with codes, float32 ``(n, width)``, to rows of numbers, ``(n, network_width)``, column by column in order.

    Numbers are passed on. A category becomes a number for each category, of which one is 1, or a learned vector; of the
    code 0, all are 0 until a row to train on has it. The words of a text become the mean of their learned vectors.

    :param features: the columns of a signature.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        start = 0
        for feature in features:
            transform = feature.transform
            if isinstance(transform, CategoryTransform):
                parts.append(_OneHot(start, transform) if transform.width is None else _Category(start, transform))
            elif isinstance(transform, TextTransform):
                parts.append(_Words(start, transform))
            elif parts and isinstance(parts[-1], _Numbers):
                parts[-1].stop += feature.size
            else:
                parts.append(_Numbers(start, start + feature.size))
            start += feature.size
        self.parts = nn.ModuleList(parts)
        self.clear_unknown()

    @torch.no_grad()
    def clear_unknown(self) -> None:
        """Set the vectors of unknown categories and of no word to 0, after all weights were drawn."""
        for part in self.parts:
            if isinstance(part, _Category | _Words):
                part.vectors.weight[0].zero_()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return torch.cat([part(rows) for part in self.parts], dim=1)


def needs_lookup(features: Sequence[Feature]) -> bool:
    """Whether rows have codes that a family cannot take as numbers."""
    return any(isinstance(feature.transform, CategoryTransform | TextTransform) for feature in features)


class _Numbers(nn.Module):
    """The columns from ``start`` to ``stop``, as they are."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows[:, self.start : self.stop]


class _OneHot(nn.Module):
    codes: torch.Tensor

    def __init__(self, place: int, transform: CategoryTransform) -> None:
        super().__init__()
        self.place = place
        self.register_buffer("codes", torch.arange(1, transform.codes + 1, dtype=torch.float32), persistent=False)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return (rows[:, self.place : self.place + 1] == self.codes).to(rows.dtype)


class _Category(nn.Module):
    def __init__(self, place: int, transform: CategoryTransform) -> None:
        super().__init__()
        assert transform.width is not None
        self.place = place
        self.vectors = nn.Embedding(transform.codes + 1, transform.width)
        nn.init.normal_(self.vectors.weight, std=transform.width**-0.5)  # vectors of length 1, about

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.vectors(rows[:, self.place].long())
        return vectors.to(rows.dtype)


class _Words(nn.Module):
    def __init__(self, start: int, transform: TextTransform) -> None:
        super().__init__()
        self.start, self.stop = start, start + transform.length
        self.vectors = nn.Embedding(transform.buckets + 1, transform.width, padding_idx=0)
        nn.init.normal_(self.vectors.weight, std=transform.width**-0.5)  # vectors of length 1, about

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        ids = rows[:, self.start : self.stop].long()
        vectors: torch.Tensor = self.vectors(ids).sum(dim=1)
        words = (ids != 0).sum(dim=1, keepdim=True).clamp(min=1)
        return (vectors / words).to(rows.dtype)
