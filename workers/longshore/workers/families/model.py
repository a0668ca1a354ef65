"""Assembles the module of a version: preprocessing, then the network of the family."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional

from longshore.workers.families.standardize import Standardize

#: Names of the two parts; they are the prefixes of the tensor names in a weights file.
STANDARDIZE = "standardize"
NETWORK = "network"
#: Only for embeddings: the last part, which has no tensors.
UNIT = "unit"


class UnitLength(nn.Module):
    """Vectors ``(n, width)``, each divided by its length, as float32. A zero vector does not change."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return functional.normalize(vectors.float(), dim=1)


def assemble(network: nn.Module, standardize: Standardize | None, unit_length: bool = False) -> nn.Sequential:
    """Assemble one module that maps raw rows, float32 ``(n, width)``, to ``(n, outputs)``.

    :param unit_length: divide the outputs of each row by their length; only for embeddings.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if standardize is not None:
        parts[STANDARDIZE] = standardize
    parts[NETWORK] = network
    if unit_length:
        parts[UNIT] = UnitLength()
    return nn.Sequential(parts)
