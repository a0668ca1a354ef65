"""The whole module of a version: preprocessing, then the family's network."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from longshore.workers.families.standardize import Standardize

#: Names of the two parts; they begin the tensors' names in a weights file.
STANDARDIZE = "standardize"
NETWORK = "network"


def assemble(network: nn.Module, standardize: Standardize | None) -> nn.Sequential:
    """One module from raw rows, float32 ``(n, width)``, to ``(n, outputs)``."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if standardize is not None:
        parts[STANDARDIZE] = standardize
    parts[NETWORK] = network
    return nn.Sequential(parts)
