"""Pieces that the built-in families share."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from longshore.shared.families import Activation

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def fully_connected(
    width: int, hidden: Sequence[int], outputs: int, activation: Activation, dropout: float
) -> list[nn.Module]:
    """Affine layers from ``width`` over ``hidden`` to ``outputs``; activation and dropout after each hidden one."""
    layers: list[nn.Module] = []
    for units in hidden:
        layers += [nn.Linear(width, units), ACTIVATIONS[activation]()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = units
    return [*layers, nn.Linear(width, outputs)]
