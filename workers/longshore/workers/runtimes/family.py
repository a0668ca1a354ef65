"""Loads a version that is the network of a family with its weights, run by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from pydantic import JsonValue
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.validation import build
from longshore.shared.store.manifest import Manifest
from longshore.workers.families.layout import channels_last
from longshore.workers.families.model import STANDARDIZE, assemble, build_network
from longshore.workers.families.registry import get_family, is_built_in, is_trees
from longshore.workers.families.standardize import Standardize
from longshore.workers.families.trees.boosted import read_trees
from longshore.workers.families.weights import check_fit, fill, read_weights
from longshore.workers.runtimes.base import Execution
from longshore.workers.runtimes.network import NetworkRuntime


def load(manifest: Manifest, weights: Path, device: torch.device, execution: Execution | None = None) -> NetworkRuntime:
    """Load a version on a device. Raises the same errors as :func:`build_module`."""
    if is_trees(manifest.family):
        for option, given in _options_of_networks(execution).items():
            raise InvalidInput(option, f"{given}: family {manifest.family!r} grows trees; leave it out")
        trees = read_trees(weights, manifest.signature)
        # On the CPU, whatever device the worker has.
        return NetworkRuntime(
            trees, trees.nbytes, manifest.signature, torch.device("cpu"), statistics=manifest.statistics
        )
    module = build_module(manifest, weights).to(device)
    nbytes = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    channels_last(module, get_family(manifest.family))
    ready = _ready(module, manifest.signature, device, execution)
    return NetworkRuntime(ready, nbytes, manifest.signature, device, execution, statistics=manifest.statistics)


def build_module(manifest: Manifest, weights: Path) -> nn.Module:
    """Build the module of a version and fill it: raw rows, float32 ``(n, width)``, to ``(n, outputs)``, on the CPU.

    :param weights: the file that ``manifest.weights`` names.
    :raises InvalidInput: this worker does not know the family, or the family refuses the configuration.
    :raises CorruptBlob: the file cannot be read, or does not fit the family and its configuration.
    """
    return fill_module(manifest.family, manifest.config, manifest.signature, weights)


def fill_module(name: str, settings: Mapping[str, JsonValue], signature: Signature, weights: Path) -> nn.Module:
    """Like :func:`build_module`, for a network that has no manifest yet.

    :param name: the name of the family.
    :param settings: the configuration of the family.
    """
    if is_trees(name):
        return read_trees(weights, signature)
    family = get_family(name)
    config = build(family.config, settings, "config.")
    if signature.outputs is None:
        raise InvalidInput("signature.embedding_width", "a family's version has one; its signature says none")
    tensors = read_weights(weights)
    # A version trained without standardisation has no such tensors.
    standardize = Standardize.empty(signature.width) if f"{STANDARDIZE}.mean" in tensors else None
    unit_length, what = signature.task == "embedding", f"family {name!r}"
    if is_built_in(name):
        # Takes no memory, whatever sizes the configuration has; those of other packages may need a real device.
        with torch.device("meta"):
            empty = build_network(family, config, signature, signature.outputs)
            check_fit(assemble(empty, standardize, unit_length=unit_length), tensors, what)
    network = build_network(family, config, signature, signature.outputs)
    module = assemble(network, standardize, unit_length=unit_length)
    fill(module, tensors, what)
    return module.eval()


def _options_of_networks(execution: Execution | None) -> dict[str, object]:
    """The options of a job that trees do not have."""
    if execution is None:
        return {}
    given = {"compile": execution.compile, "precision": execution.precision}
    return {name: value for name, value in given.items() if value not in (False, "auto")}


def _ready(
    module: nn.Module, signature: Signature, device: torch.device, execution: Execution | None
) -> Callable[[torch.Tensor], torch.Tensor]:
    if execution is None or not execution.compile:
        return module
    compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(module, dynamic=True)
    try:
        with torch.inference_mode(), execution.autocast(device):
            compiled(torch.zeros((2, signature.width), device=device))
    except Exception as error:  # errors of the compiler and of the libraries it calls
        raise InvalidInput(
            "compile", f"this worker cannot compile the network; leave it out ({type(error).__name__})"
        ) from error
    return compiled
