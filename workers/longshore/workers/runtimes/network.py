"""The common runtime for numeric rows."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import torch
from torch.utils.dlpack import from_dlpack

from longshore.shared.datasets.columns.tensors import Tensor, to_tensors
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.statistics import ColumnStatistics
from longshore.workers.runtimes.base import Execution, Matrix, PreparedRows, RowSelection


class NetworkRuntime:
    """A :class:`~longshore.workers.runtimes.base.Runtime` over one function of tensors.

    :param network: on ``device``: ``(n, width)``, of the type of the features, to floats ``(n, outputs)``. For
        classification the outputs are logits, one for each label.
    :param nbytes: bytes of device memory that it uses.
    :param notes: remarks on every job of this version.
    :param statistics: columns of the rows that it was trained on.
    """

    def __init__(
        self,
        network: Callable[[torch.Tensor], torch.Tensor],
        nbytes: int,
        signature: Signature,
        device: torch.device,
        execution: Execution | None = None,
        notes: tuple[str, ...] = (),
        statistics: tuple[ColumnStatistics, ...] = (),
    ) -> None:
        self.signature = signature
        self.statistics = statistics
        self._notes = notes
        self.nbytes = nbytes
        self._network = network
        self._device = device
        self._execution = execution or Execution()

    def prepare(self, batch: pa.RecordBatch) -> Matrix:
        """See :meth:`Runtime.prepare`. For a GPU the rows are in pinned memory, which is fastest to copy."""
        tensors = to_tensors(batch, self.signature)
        [values] = tensors.values.values()
        rows = _borrow(values)
        rows = rows.pin_memory() if self._device.type == "cuda" else rows
        return Matrix(rows, tensors.errors, notes=(*self._notes, *tensors.notes))

    @torch.inference_mode()
    def forward(self, prepared: PreparedRows, places: RowSelection) -> torch.Tensor:
        """See :meth:`Runtime.forward`."""
        if not isinstance(prepared, Matrix):
            raise TypeError(f"{type(prepared).__name__} was prepared by another runtime")
        rows = prepared.take(places).to(self._device, non_blocking=True)
        with self._execution.autocast(self._device):
            return self._network(rows)


def check_shape(shape: tuple[int, ...], rows: int, signature: Signature, what: str) -> None:
    """Check the output shape of a program against its signature.

    :param what: the name of the program in the error message.
    :raises InvalidInput: the shape does not fit.
    """
    outputs = signature.outputs
    one = outputs == 1 or (outputs == 2 and signature.task == "classification")
    if shape == (rows, outputs) or (one and shape in ((rows,), (rows, 1))):
        return
    if outputs is None and len(shape) == 2 and shape[0] == rows:
        return
    raise InvalidInput(
        "model", f"{what} put out the shape {shape} for {rows} rows instead of {(rows, outputs or 'any')}"
    )


def _borrow(values: Tensor) -> torch.Tensor:
    """A tensor that shares memory. Arrow's is read-only, for which ``torch.from_numpy`` warns; nothing writes to it."""
    return torch.from_numpy(values) if values.flags.writeable else from_dlpack(values)
