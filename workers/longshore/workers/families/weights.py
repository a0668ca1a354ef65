"""Reads and writes weights files: safetensors, which contain tensors and no code.

https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from longshore.shared.errors import CorruptBlob, MissingBlob, ServiceUnavailable
from longshore.shared.outages import is_outage

#: Maximum faults listed in an error; the rest is only counted.
_SHOWN = 3


def save_weights(module: nn.Module, path: Path) -> None:
    """Write the parameters and buffers of ``module``. The same values give the same bytes.

    :raises ServiceUnavailable: the file cannot be written.
    """
    # Copied, because safetensors cannot write tensors that share memory (tied layers).
    tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in module.state_dict().items()}
    try:
        save_file(tensors, path)
    except (OSError, SafetensorError) as error:
        raise ServiceUnavailable(f"cannot write the weights to {path}: {error}; is the disk full?") from error


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a weights file, by tensor name, on the CPU.

    :raises CorruptBlob: the file is missing or is no safetensors file.
    :raises ServiceUnavailable: its file system cannot be reached.
    """
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise MissingBlob(f"{path} cannot be read as a safetensors file: {error}") from error
    except (OSError, SafetensorError) as error:
        if is_outage(error):
            raise ServiceUnavailable(f"{path} cannot be read: {error}") from error
        raise CorruptBlob(f"{path} cannot be read as a safetensors file: {error}") from error


def fill(module: nn.Module, tensors: Mapping[str, torch.Tensor], what: str) -> None:
    """Load ``tensors`` into ``module``. Names, shapes and types must match exactly.

    :param what: the name of the module in the error message, as in ``family 'mlp'``.
    :raises CorruptBlob: the tensors do not fit.
    """
    check_fit(module, tensors, what)
    module.load_state_dict(dict(tensors), strict=True)


def check_fit(module: nn.Module, tensors: Mapping[str, torch.Tensor], what: str) -> None:
    """Check as in :func:`fill`, without loading. The module may be on the device ``meta``, which uses no memory."""
    expected = {name: _describe(tensor) for name, tensor in module.state_dict().items()}
    actual = {name: _describe(tensor) for name, tensor in tensors.items()}
    faults = [f"{name} is missing" for name in expected.keys() - actual.keys()]
    faults += [f"{name} is not part of it" for name in actual.keys() - expected.keys()]
    faults += [
        f"{name} is {actual[name]}, not {expected[name]}"
        for name in expected.keys() & actual.keys()
        if expected[name] != actual[name]
    ]
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise CorruptBlob(
            f"the weights do not fit {what}: {'; '.join(sorted(faults)[:_SHOWN])}{more}; "
            "train or import the version again"
        )


def _describe(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
