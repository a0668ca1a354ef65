"""From a manifest to the runtime that it names."""

from __future__ import annotations

from pathlib import Path

import torch

from longshore.shared.store.manifest import Manifest
from longshore.workers.runtimes import family, onnx
from longshore.workers.runtimes.base import Runtime


def load(manifest: Manifest, weights: Path, device: torch.device) -> Runtime:
    """Load a version.

    :param weights: the file that ``manifest.weights`` names.
    :raises InvalidInput: this worker lacks what the version needs, or the manifest does not go with the file.
    :raises CorruptBlob: the file cannot be loaded.
    """
    if manifest.runtime == "onnx":
        return onnx.load(manifest, weights)
    return family.load(manifest, weights, device)
