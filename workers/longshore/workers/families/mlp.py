"""``mlp``: a multilayer perceptron."""

from __future__ import annotations

from torch import nn

from longshore.shared.specs.families import MlpConfig
from longshore.workers.families.base import NetworkFamily
from longshore.workers.families.layers import fully_connected


def build_mlp(config: MlpConfig, width: int, outputs: int) -> nn.Module:
    """``(n, width)`` through the hidden layers to ``(n, outputs)``.

    ``hidden=(256,)`` with ``relu`` is Linear, ReLU, Linear. Rumelhart, Hinton and Williams, "Learning representations
    by back-propagating errors", 1986, https://doi.org/10.1038/323533a0; dropout: https://jmlr.org/papers/v15/srivastava14a.html
    """
    return nn.Sequential(*fully_connected(width, config.hidden, outputs, config.activation, config.dropout))


MLP = NetworkFamily("mlp", MlpConfig, build_mlp)
