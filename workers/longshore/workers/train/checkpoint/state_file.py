"""The state of a training as a file: tensors as safetensors, all else as JSON in its head. Nothing is pickled."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from longshore.shared.errors import CorruptBlob, ServiceUnavailable

#: Tensors, strings, numbers, booleans and None, and dicts, lists and tuples of these.
State: TypeAlias = object
_HEAD = "state"


def write_state(state: State, path: Path) -> None:
    """Write a state.

    :raises ServiceUnavailable: the file cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {}
    head = json.dumps(_packed(state, tensors))
    try:
        # A file without tensors is none to safetensors.
        save_file(tensors or {"none": torch.zeros(0)}, path, metadata={_HEAD: head})
    except (OSError, SafetensorError) as error:
        raise ServiceUnavailable(f"cannot write a checkpoint to {path}: {error}; is the disk full?") from error


def read_state(path: Path) -> State:
    """Read a state, its tensors on the CPU.

    :raises CorruptBlob: the file holds none.
    """
    try:
        with safe_open(path, framework="pt") as file:
            head = json.loads(file.metadata()[_HEAD])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _unpacked(head, tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CorruptBlob(f"{path} cannot be read as a checkpoint: {error}") from error


def copied(state: State) -> State:
    """A copy on the CPU that later steps do not change."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(copied(value) for value in state)
    return state


def _packed(state: State, tensors: dict[str, torch.Tensor]) -> object:
    """JSON that refers to ``tensors``. What JSON has no form for is an object with one key."""
    if isinstance(state, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = state.detach().to("cpu").contiguous()
        return {"tensor": name}
    if isinstance(state, dict):
        return {"dict": [[key, _packed(value, tensors)] for key, value in state.items()]}
    if isinstance(state, tuple):
        return {"tuple": [_packed(value, tensors) for value in state]}
    if isinstance(state, list):
        return [_packed(value, tensors) for value in state]
    if isinstance(state, float) and not math.isfinite(state):
        return {"float": repr(state)}
    if state is None or isinstance(state, str | int | float):
        return state
    raise TypeError(f"{type(state).__name__} is no part of a state that can be kept")


def _unpacked(found: object, tensors: dict[str, torch.Tensor]) -> State:
    if isinstance(found, list):
        return [_unpacked(value, tensors) for value in found]
    if not isinstance(found, dict):
        if found is None or isinstance(found, str | int | float):
            return found
        raise ValueError(f"{type(found).__name__} is no part of a state")
    ((kind, value),) = found.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {key: _unpacked(each, tensors) for key, each in value}
    if kind == "tuple":
        return tuple(_unpacked(each, tensors) for each in value)
    if kind == "float":
        return float(value)
    raise ValueError(f"{kind!r} is no part of a state")
