"""The state of a training as a file: tensors as safetensors, the rest as JSON in the metadata. Nothing is pickled."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from longshore.shared.errors import CorruptBlob, MissingBlob, ServiceUnavailable
from longshore.shared.outages import is_outage

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
        # safetensors accepts no file without tensors.
        save_file(tensors or {"none": torch.zeros(0)}, path, metadata={_HEAD: head})
    except (OSError, SafetensorError) as error:
        raise ServiceUnavailable(f"cannot write a checkpoint to {path}: {error}; is the disk full?") from error


def read_state(path: Path) -> State:
    """Read a state, its tensors on the CPU.

    :raises CorruptBlob: the file is missing or is not a state.
    :raises ServiceUnavailable: its file system cannot be reached.
    """
    try:
        with safe_open(path, framework="pt") as file:
            head = json.loads(file.metadata()[_HEAD])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _unpacked(head, tensors)
    except OSError as error:
        if is_outage(error):
            raise ServiceUnavailable(f"{path} cannot be read: {error}") from error
        raise MissingBlob(f"{path} cannot be read as a checkpoint: {error}") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CorruptBlob(f"{path} cannot be read as a checkpoint: {error}") from error


def copied(state: State) -> State:
    """Copy a state to the CPU, so that later steps do not change it."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(copied(value) for value in state)
    return state


def _packed(state: State, tensors: dict[str, torch.Tensor]) -> object:
    """JSON that refers to ``tensors``. A value without a JSON form becomes an object with one key."""
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
    raise TypeError(f"{type(state).__name__} cannot be part of a saved state")


def _unpacked(content: object, tensors: dict[str, torch.Tensor]) -> State:
    if isinstance(content, list):
        return [_unpacked(value, tensors) for value in content]
    if not isinstance(content, dict):
        if content is None or isinstance(content, str | int | float):
            return content
        raise ValueError(f"{type(content).__name__} cannot be part of a state")
    ((kind, value),) = content.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {key: _unpacked(each, tensors) for key, each in value}
    if kind == "tuple":
        return tuple(_unpacked(each, tensors) for each in value)
    if kind == "float":
        return float(value)
    raise ValueError(f"{kind!r} cannot be part of a state")
