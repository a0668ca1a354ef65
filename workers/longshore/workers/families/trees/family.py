"""``lightgbm``: gradient-boosted trees.

Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", 2017,
https://papers.nips.cc/paper/6907-lightgbm-a-highly-efficient-gradient-boosting-decision-tree
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import FamilyConfig, LightgbmConfig


@dataclass(frozen=True)
class TreeFamily:
    """A family that grows trees: it has no network to build. See :class:`~longshore.workers.families.base.Family`."""

    name: str
    config: type[LightgbmConfig]

    def build(self, config: FamilyConfig, width: int, outputs: int) -> nn.Module:
        """:raises InvalidInput: always."""
        raise InvalidInput("family", f"{self.name!r} grows trees and has no network")


LIGHTGBM = TreeFamily("lightgbm", LightgbmConfig)
