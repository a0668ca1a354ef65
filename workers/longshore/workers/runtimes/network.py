"""What every runtime for rows of numbers does before and after its network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch.utils.dlpack import from_dlpack

from longshore.shared.datasets.matrix import to_matrix
from longshore.shared.signature import Signature
from longshore.workers.runtimes.base import Encoded, Outputs, Prepared
from longshore.workers.runtimes.encode import NOT_FINITE, encode_classes, encode_values, label_heads


class NetworkRuntime:
    """A :class:`~longshore.workers.runtimes.base.Runtime` over one function of tensors.

    :param network: on ``device``: float32 ``(n, width)`` to float32 ``(n, outputs)``. For classification the outputs
        are logits, one for each label.
    :param nbytes: what it holds on its device.
    """

    def __init__(
        self,
        network: Callable[[torch.Tensor], torch.Tensor],
        nbytes: int,
        signature: Signature,
        device: torch.device,
    ) -> None:
        self.signature = signature
        self.nbytes = nbytes
        self._network = network
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
        outputs = self._network(prepared.rows.to(self._device, non_blocking=True))
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


def _borrow(values: npt.NDArray[np.float32]) -> torch.Tensor:
    """A tensor over the same memory. Arrow's is read-only, and ``torch.from_numpy`` warns; nothing writes to it."""
    return torch.from_numpy(values) if values.flags.writeable else from_dlpack(values)
