"""Assembles the module of a version: preprocessing, then the network of the family."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional

from longshore.shared.specs.families import FamilyConfig
from longshore.shared.specs.signature import Signature
from longshore.workers.families.base import Family
from longshore.workers.families.lookup import ColumnLookup, needs_lookup
from longshore.workers.families.standardize import Standardize

#: Names of the two parts; they are the prefixes of the tensor names in a weights file.
STANDARDIZE = "standardize"
NETWORK = "network"
#: Only for embeddings: the last part, which has no tensors.
UNIT = "unit"
#: The two parts of a network for tables.
LOOKUP, BODY = "lookup", "body"


class UnitLength(nn.Module):
    """Vectors ``(n, width)``, each divided by its length, as float32. A zero vector does not change."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return functional.normalize(vectors.float(), dim=1)


def build_network(family: Family, config: FamilyConfig, signature: Signature, outputs: int) -> nn.Module:
    """Build the newly initialised network of a version on the CPU: rows as they are standardised to ``(n, outputs)``.

    It is the network of the family; for tables with categories or texts, behind the lookup of these.

    :raises InvalidInput: the configuration does not fit the width of the rows.
    """
    body = family.build(config, signature.network_width, outputs)
    if not needs_lookup(signature.features):
        return body
    return nn.Sequential(OrderedDict({LOOKUP: ColumnLookup(signature.features), BODY: body}))


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
