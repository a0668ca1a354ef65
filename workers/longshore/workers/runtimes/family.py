"""A version that is a family's network with its weights, run by PyTorch."""

from __future__ import annotations

from pathlib import Path

import torch

from longshore.shared.store.manifest import Manifest
from longshore.shared.validation import build
from longshore.workers.families.model import STANDARDIZE, assemble
from longshore.workers.families.registry import get_family
from longshore.workers.families.standardize import Standardize
from longshore.workers.families.weights import fill, read_weights
from longshore.workers.runtimes.network import NetworkRuntime


def load(manifest: Manifest, weights: Path, device: torch.device) -> NetworkRuntime:
    """Build the module of a version and fill it.

    :param weights: the safetensors file that ``manifest.weights`` names.
    :raises InvalidInput: this worker does not know the family, or the family refuses the configuration.
    :raises CorruptBlob: the file cannot be read, or does not fit the family and its configuration.
    """
    family = get_family(manifest.family)
    config = build(family.config, manifest.config, "config.")
    signature = manifest.signature
    outputs = 1 if signature.labels is None else len(signature.labels)
    tensors = read_weights(weights)
    # A version trained without standardisation has no such tensors.
    standardize = Standardize.empty(signature.width) if f"{STANDARDIZE}.mean" in tensors else None
    module = assemble(family.build(config, signature.width, outputs), standardize)
    fill(module, tensors, f"family {manifest.family!r}")
    module = module.to(device).eval()
    nbytes = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    return NetworkRuntime(module, nbytes, signature, device)
