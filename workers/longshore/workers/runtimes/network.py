"""The common runtime for numeric rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch.utils.dlpack import from_dlpack

from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.program_io import Activation
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.statistics import ColumnStatistics
from longshore.workers.runtimes.base import Execution, Matrix, PreparedRows, RowSelection

#: The smallest probability whose logarithm is finite in float32.
_SMALLEST = torch.finfo(torch.float32).tiny
#: Between 1 and the largest probability below it, in float32.
_EPSILON = 2.0**-24


class NetworkRuntime:
    """A :class:`~longshore.workers.runtimes.base.Runtime` over one function of tensors.

    :param network: on ``device``: float32 ``(n, width)`` to floats ``(n, outputs)``. For classification the outputs
        are logits, one for each label.
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
        matrix = to_matrix(batch, self.signature)
        rows = _borrow(matrix.values)
        rows = rows.pin_memory() if self._device.type == "cuda" else rows
        return Matrix(rows, matrix.errors, notes=(*self._notes, *matrix.notes))

    @torch.inference_mode()
    def forward(self, prepared: PreparedRows, places: RowSelection) -> torch.Tensor:
        """See :meth:`Runtime.forward`."""
        if not isinstance(prepared, Matrix):
            raise TypeError(f"{type(prepared).__name__} was prepared by another runtime")
        rows = prepared.take(places).to(self._device, non_blocking=True)
        with self._execution.autocast(self._device):
            return self._network(rows)


def to_logits(outputs: torch.Tensor, activation: Activation | None, signature: Signature) -> torch.Tensor:
    """The logits of probabilities, of which softmax or sigmoid make the same probabilities; other outputs unchanged."""
    if activation == "softmax" and signature.task == "classification":
        return outputs.float().clamp_min(_SMALLEST).log()
    if activation == "sigmoid" and signature.task == "multilabel":
        chances = outputs.double().clamp(_SMALLEST, 1 - _EPSILON)
        return (chances.log() - (-chances).log1p()).float()
    return outputs


def activation_notes(activation: Activation | None, signature: Signature) -> tuple[str, ...]:
    """A remark if the scores of a program cannot be those that it computes itself."""
    other = {"classification": "sigmoid", "multilabel": "softmax"}.get(signature.task)
    if activation is None or activation != other:
        return ()
    return (
        f"the program ends in a {activation}, which does not fit the task {signature.task}; scores are computed from "
        "its outputs as if they were logits",
    )


def check_shape(shape: tuple[int, ...], rows: int, outputs: int | None, what: str) -> None:
    """Check the output shape of a program against its signature.

    :param outputs: outputs per row; ``None`` allows any number. For 1 the shape ``(rows,)`` is also valid.
    :param what: the name of the program in the error message.
    :raises InvalidInput: the shape does not fit.
    """
    if shape == (rows, outputs) or (outputs == 1 and shape == (rows,)):
        return
    if outputs is None and len(shape) == 2 and shape[0] == rows:
        return
    raise InvalidInput(
        "model", f"{what} put out the shape {shape} for {rows} rows instead of {(rows, outputs or 'any')}"
    )


def _borrow(values: npt.NDArray[np.float32]) -> torch.Tensor:
    """A tensor that shares memory. Arrow's is read-only, for which ``torch.from_numpy`` warns; nothing writes to it."""
    return torch.from_numpy(values) if values.flags.writeable else from_dlpack(values)
