"""A version that is a family's network with its weights, run by PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import nn
from torch.utils.dlpack import from_dlpack

from longshore.shared.datasets.matrix import to_matrix
from longshore.shared.signature import Signature
from longshore.shared.store.manifest import Manifest
from longshore.shared.validation import build
from longshore.workers.families.model import STANDARDIZE, assemble
from longshore.workers.families.registry import get_family
from longshore.workers.families.standardize import Standardize
from longshore.workers.families.weights import fill, read_weights
from longshore.workers.runtimes.base import Encoded, Outputs, Prepared
from longshore.workers.runtimes.encode import NOT_FINITE, encode_classes, encode_values, label_heads


class FamilyRuntime:
    """A :class:`~longshore.workers.runtimes.base.Runtime` over one module.

    :param module: in eval mode, on ``device``: float32 ``(n, width)`` to ``(n, outputs)``.
    """

    def __init__(self, module: nn.Module, signature: Signature, device: torch.device) -> None:
        self.signature = signature
        self.nbytes = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
        self._module = module
        self._device = device
        self._heads = None if signature.labels is None else label_heads(signature.labels)

    def prepare(self, batch: pa.RecordBatch) -> Prepared:
        """See :meth:`Runtime.prepare`. For a GPU the rows are put in pinned memory, from which it copies fastest."""
        matrix = to_matrix(batch, self.signature)
        rows = _borrow(matrix.values)
        return Prepared(rows.pin_memory() if self._device.type == "cuda" else rows, matrix.errors)

    @torch.inference_mode()
    def forward(self, prepared: Prepared) -> Outputs:
        """See :meth:`Runtime.forward`."""
        outputs = self._module(prepared.rows.to(self._device, non_blocking=True))
        if self._heads is None:
            return Outputs(outputs[:, 0].cpu(), None, prepared.errors)
        scores, classes = torch.softmax(outputs, dim=1).max(dim=1)
        return Outputs(scores.cpu(), classes.cpu(), prepared.errors)

    def encode(self, outputs: Outputs) -> Encoded:
        """See :meth:`Runtime.encode`."""
        valid = torch.isfinite(outputs.values).numpy()
        errors = {int(row): NOT_FINITE for row in np.flatnonzero(~valid)} | outputs.errors
        valid[list(outputs.errors)] = False
        if outputs.classes is None or self._heads is None:
            return Encoded(encode_values(outputs.values, pa.array(valid)), errors)
        return Encoded(encode_classes(outputs.classes, outputs.values, self._heads, pa.array(valid)), errors)


def load(manifest: Manifest, weights: Path, device: torch.device) -> FamilyRuntime:
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
    return FamilyRuntime(module.to(device).eval(), signature, device)


def _borrow(values: npt.NDArray[np.float32]) -> torch.Tensor:
    """A tensor over the same memory. Arrow's is read-only, and ``torch.from_numpy`` warns; nothing writes to it."""
    return torch.from_numpy(values) if values.flags.writeable else from_dlpack(values)
