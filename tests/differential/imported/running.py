"""Imports a program and loads it, as a worker does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import torch

from longshore.producers.models.importing import read_import
from longshore.shared.specs.signature import OutputKind, Signature
from longshore.workers.runtimes.base import Execution, Runtime
from longshore.workers.runtimes.loading import load


def imported(
    folder: Path,
    model: onnx.ModelProto | Path,
    signature: Signature | Mapping[str, object],
    output: str | None = None,
    output_kind: OutputKind | None = None,
) -> Runtime:
    """The runtime of a program.

    :param folder: gets the file of a model that is not one yet.
    """
    path = model if isinstance(model, Path) else folder / "model.onnx"
    if not isinstance(model, Path):
        path.write_bytes(model.SerializeToString())
    version = read_import(path, signature, output=output, output_kind=output_kind)
    try:
        files = {blob: version.files[name] for name, blob in version.manifest.blobs.items()}
        return load(version.manifest, files.__getitem__, torch.device("cpu"), Execution())
    finally:
        version.close()
