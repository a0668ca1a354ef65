"""The whole module of a version: preprocessing, then the family's network."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional

from longshore.workers.families.standardize import Standardize

#: Names of the two parts; they begin the tensors' names in a weights file.
STANDARDIZE = "standardize"
NETWORK = "network"
#: Of an embedding: the last part, which has no tensors.
UNIT = "unit"


class UnitLength(nn.Module):
    """Vectors ``(n, width)``, each divided by its length, as float32. One of nothing but zeros stays."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return functional.normalize(vectors.float(), dim=1)


def assemble(network: nn.Module, standardize: Standardize | None, unit_length: bool = False) -> nn.Sequential:
    """One module from raw rows, float32 ``(n, width)``, to ``(n, outputs)``.

    :param unit_length: divide each row's outputs by their length; of embeddings.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if standardize is not None:
        parts[STANDARDIZE] = standardize
    parts[NETWORK] = network
    if unit_length:
        parts[UNIT] = UnitLength()
    return nn.Sequential(parts)
