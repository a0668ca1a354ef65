"""The runtime interface: prepare a window of rows, then compute a selection of them.

The two steps run in two threads: a reader prepares the next window while the device computes the current one.
"""

from __future__ import annotations

from collections.abc import Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from longshore.shared.specs.signature import Signature
from longshore.shared.specs.statistics import ColumnStatistics

#: The selected rows of a window: a slice, or their indexes, int64 ``(k,)``.
RowSelection: TypeAlias = slice | npt.NDArray[np.int64]


@dataclass(frozen=True)
class Execution:
    """The precision and compilation of a version, as chosen by the job."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """A context in which layers that benefit from it compute in ``precision``.

        https://docs.pytorch.org/docs/stable/amp.html
        """
        if self.precision in ("auto", "fp32"):
            return nullcontext()
        kind = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(device.type, dtype=kind)


class PreparedRows(Sized, Protocol):
    """A window of n rows, prepared for its runtime. Its ``len`` is n."""

    @property
    def errors(self) -> dict[int, str]:
        """Why a row cannot be run, by its index in the window."""

    @property
    def lengths(self) -> npt.NDArray[np.int64] | None:
        """Tokens in each row, ``(n,)``; ``None`` if every row costs the same."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the rows for the owner of the job that are no errors; the same text in every window."""


@dataclass(frozen=True)
class Matrix:
    """A window of numeric rows."""

    #: ``(n, width)``, on the CPU: float32, or the type that the program takes. A row with an error is all zeros.
    rows: torch.Tensor
    errors: dict[int, str]
    lengths: None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: RowSelection) -> torch.Tensor:
        """The selected rows; a slice shares memory with ``rows``."""
        return self.rows[places] if isinstance(places, slice) else self.rows.index_select(0, torch.from_numpy(places))


class Runtime(Protocol):
    """A version loaded on a device. ``prepare`` may run in another thread at the same time as ``forward``."""

    @property
    def signature(self) -> Signature:
        """The inputs and outputs of the version."""

    @property
    def statistics(self) -> tuple[ColumnStatistics, ...]:
        """Columns of the rows that the version was trained on; empty if they are not known."""

    @property
    def nbytes(self) -> int:
        """Bytes of device memory that the loaded version uses."""

    def prepare(self, batch: pa.RecordBatch) -> PreparedRows:
        """Convert a window. A bad row becomes an error and does not affect the other rows.

        :raises DataError: a column of the signature is missing or has another type.
        """

    def forward(self, prepared: PreparedRows, places: RowSelection) -> torch.Tensor:
        """Compute the outputs for k rows of a window from ``prepare``: ``(k, outputs)``, on the device; for token
        classification ``(k, tokens of the longest row of the window, labels)``.

        The outputs are one logit per label, the single value of a regression, or an embedding. Instead of logits they
        can be scores, if the signature says so, and probabilities are put out as their logarithms (of the odds for
        multilabel). If the signature has a ``label_output``, one more column is the index of the label of the row.
        """
