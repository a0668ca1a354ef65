"""Converts the arguments of a node for PyTorch: constants are created once, values are looked up in each run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch

from longshore.shared.model_formats.pt2.arguments import (
    Argument,
    OptionalTensor,
    SymBool,
    SymFloat,
    SymInt,
    TensorArgument,
)
from longshore.shared.model_formats.pt2.model import SCALAR_TYPES

#: A value of a graph: a tensor, or a size or another number.
Value: TypeAlias = torch.Tensor | int | float | bool | None
#: Returns an argument, from the values of a run.
Reader: TypeAlias = Callable[[Sequence[Value]], object]

_MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}


def reader(argument: Argument, places: Mapping[str, int], device: torch.device) -> Reader:
    """Create the reader of an argument.

    :param places: the indexes of the values, by their names in the graph.
    :param device: replaces any device that the argument names.
    """
    value = getattr(argument, argument.kind)
    if argument.kind == "as_scalar_type":
        return _constant(getattr(torch, SCALAR_TYPES[value]))
    if argument.kind == "as_memory_format":
        return _constant(_MEMORY_FORMATS[value])
    if argument.kind == "as_layout":
        return _constant(torch.strided)
    if argument.kind == "as_device":
        return _constant(device)
    if isinstance(value, tuple):
        inner = [_item(each, places) for each in value]
        if all(place is None for place, _ in inner):
            known = [constant for _, constant in inner]
            return lambda values: known
        return lambda values: [constant if place is None else values[place] for place, constant in inner]
    place, constant = _item(value, places)
    if argument.kind == "as_none" or place is None:
        return _constant(None if argument.kind == "as_none" else constant)
    position = place
    return lambda values: values[position]


def _constant(value: object) -> Reader:
    return lambda values: value


def _item(value: object, places: Mapping[str, int]) -> tuple[int | None, object]:
    """The index of a value, or a constant."""
    if isinstance(value, OptionalTensor):
        return (None, None) if value.as_tensor is None else (places[value.as_tensor.name], None)
    if isinstance(value, TensorArgument):
        return places[value.name], None
    if isinstance(value, SymInt | SymFloat | SymBool):
        return (places[value.as_name], None) if value.as_name is not None else _item(getattr(value, value.kind), places)
    if value in ("Infinity", "-Infinity", "NaN"):
        return None, float(str(value))
    return None, value
