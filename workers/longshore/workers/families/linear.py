"""``linear``: one linear layer."""

from __future__ import annotations

from torch import nn

from longshore.shared.specs.families import LinearConfig
from longshore.workers.families.base import NetworkFamily


def build_linear(config: LinearConfig, width: int, outputs: int) -> nn.Module:
    """``(n, width)`` to ``(n, outputs)`` by one linear layer: linear regression or multinomial logistic regression.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html
    """
    return nn.Linear(width, outputs, bias=config.bias)


LINEAR = NetworkFamily("linear", LinearConfig, build_linear)
