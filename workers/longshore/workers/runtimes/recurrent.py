"""Checks the arguments of recurrent operators, which read out of bounds if their arguments do not fit each other.

https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html lists the valid shapes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

#: Rows of a weight matrix per unit, by operator.
GATES = {"lstm": 4, "gru": 3, "rnn_relu": 1, "rnn_tanh": 1}
#: The number of arguments of each operator: input, states, weights, has_biases, num_layers, dropout, train,
#: bidirectional, batch_first.
ARGUMENTS = 9


def guarded(name: str, call: Callable[..., object]) -> Callable[..., object]:
    """Wrap an operator in a check of its arguments."""

    def checked(*arguments: object) -> object:
        _check(name, *arguments)
        return call(*arguments)

    return checked


def _check(
    name: str,
    rows: object,
    states: object,
    weights: object,
    biases: object,
    layers: object,
    dropout: object,
    train: object,
    bidirectional: object,
    batch_first: object,
) -> None:
    """:raises ValueError: the arguments do not fit each other."""
    flags = (biases, train, bidirectional, batch_first)
    known = (
        all(isinstance(flag, bool) for flag in flags) and isinstance(layers, int) and isinstance(dropout, float | int)
    )
    if not known or not isinstance(layers, int) or not isinstance(weights, list) or layers < 1:
        raise ValueError(f"{name} is given arguments of other types")
    hidden = list(states) if isinstance(states, list) else [states]
    tensors = [each for each in (rows, *hidden, *weights) if isinstance(each, torch.Tensor)]
    if len(tensors) != 1 + len(hidden) + len(weights) or len({(each.dtype, each.device) for each in tensors}) != 1:
        raise ValueError(f"{name} is given tensors of several types, or none")
    if len(hidden) != (2 if name == "lstm" else 1) or tensors[0].dim() != 3 or not tensors[0].is_floating_point():
        raise ValueError(f"{name} is given other states or inputs than it takes")
    directions = 2 if bidirectional else 1
    expected = _shapes(name, tensors[0], tensors[-len(weights) :], layers, directions, bool(biases))
    batch = tensors[0].shape[0 if batch_first else 1]
    units, outputs = expected[0][0] // GATES[name], expected[1][1]
    sides = [outputs, units][: len(hidden)]
    expected = [*((layers * directions, batch, side) for side in sides), *expected]
    shapes = [tuple(each.shape) for each in tensors[1:]]
    if shapes != expected:
        raise ValueError(f"{name} is given tensors of the shapes {shapes[:6]}, which do not go together")


def _shapes(
    name: str, rows: torch.Tensor, weights: list[torch.Tensor], layers: int, directions: int, biases: bool
) -> list[tuple[int, ...]]:
    """The expected weight shapes by layer and direction, from the first two weights and the size of the input."""
    each = len(weights) / (layers * directions)
    # An LSTM can have a projection, after its biases.
    projected = name == "lstm" and each == (5 if biases else 3)
    if each != (4 if biases else 2) + projected or any(weight.dim() != 2 for weight in weights[:2]):
        raise ValueError(f"{name} is given {len(weights)} weights for {layers} layers")
    gated, outputs = weights[1].shape
    units = gated // GATES[name]
    if units < 1 or outputs < 1 or gated != units * GATES[name] or (outputs != units and not projected):
        raise ValueError(f"{name} is given weights of the shape {tuple(weights[1].shape)}")
    shapes: list[tuple[int, ...]] = []
    for layer in range(layers):
        taken = rows.shape[2] if layer == 0 else outputs * directions
        one: list[tuple[int, ...]] = [(gated, taken), (gated, outputs)]
        one += [(gated,), (gated,)] if biases else []
        shapes += (one + ([(outputs, units)] if projected else [])) * directions
    return shapes
