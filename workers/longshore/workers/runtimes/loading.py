"""Loads the runtime that a manifest names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from longshore.shared.store.manifest import Blob, Manifest
from longshore.shared.vocabulary import RuntimeName
from longshore.workers.runtimes import family, huggingface, onnx, pt2, text_family
from longshore.workers.runtimes.base import Execution, Runtime


def load(manifest: Manifest, fetch: Callable[[Blob], Path], device: torch.device, execution: Execution) -> Runtime:
    """Load a version.

    :param fetch: returns a local file with the content of a blob of the manifest.
    :param execution: the precision and compilation.
    :raises InvalidInput: this worker lacks what the version needs, or the manifest does not fit its files.
    :raises CorruptBlob: a file cannot be loaded.
    """
    files = {name: fetch(blob) for name, blob in manifest.blobs.items()}
    if manifest.runtime is RuntimeName.HUGGINGFACE:
        return huggingface.load(files, device, execution)
    if manifest.runtime is RuntimeName.PT2:
        return pt2.load(manifest, files, device, execution)
    if manifest.runtime is RuntimeName.FAMILY and manifest.signature.is_text:
        return text_family.load(manifest, files, device, execution)
    if manifest.runtime is RuntimeName.ONNX:
        return onnx.load(manifest, files, execution)
    return family.load(manifest, files[manifest.content_file], device, execution)
