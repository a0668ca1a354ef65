"""Layers that the built-in families share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from longshore.shared.specs.families import Activation

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class BatchNorm2d(nn.BatchNorm2d):
    """PyTorch's batch norm over ``(n, channels, height, width)`` that also supports batches of one row.

    Ioffe and Szegedy, "Batch normalization", 2015, https://arxiv.org/abs/1502.03167.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise to the same shape. With one value per channel there is no deviation: the value is normalised by
        the running mean and variance, as at inference, and does not update them. The last batch of an epoch can be so.
        """
        if not (self.training and input.numel() == input.shape[1]):
            return super().forward(input)
        return functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


def fully_connected(
    width: int, hidden: Sequence[int], outputs: int, activation: Activation, dropout: float
) -> list[nn.Module]:
    """Linear layers from ``width`` over ``hidden`` to ``outputs``; activation and dropout after each hidden layer."""
    layers: list[nn.Module] = []
    for units in hidden:
        layers += [nn.Linear(width, units), ACTIVATIONS[activation]()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = units
    return [*layers, nn.Linear(width, outputs)]
