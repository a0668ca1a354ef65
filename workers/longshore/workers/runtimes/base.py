"""What a runtime is: prepare a window of rows, and compute any of them.

The two are apart because they run in two threads: a reader prepares the next window while the device computes this one.
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

#: Which rows of a window: a run of them, or their places, int64 ``(k,)``.
RowSelection: TypeAlias = slice | npt.NDArray[np.int64]


@dataclass(frozen=True)
class Execution:
    """How a version is computed, as a job can ask for it."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Within it, layers that gain from it compute in the precision asked for.

        https://docs.pytorch.org/docs/stable/amp.html
        """
        if self.precision in ("auto", "fp32"):
            return nullcontext()
        kind = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(device.type, dtype=kind)


class PreparedRows(Sized, Protocol):
    """A window of n rows as its runtime takes it. Its ``len`` is n."""

    @property
    def errors(self) -> dict[int, str]:
        """Why a row cannot be run, by its place in the window."""

    @property
    def lengths(self) -> npt.NDArray[np.int64] | None:
        """Tokens in each row, ``(n,)``; ``None`` where every row costs the same."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the job's owner should know of the rows though nothing is wrong; the same words in every window."""


@dataclass(frozen=True)
class Matrix:
    """Rows of numbers."""

    #: float32 ``(n, width)``, on the CPU. A row with an error is all zeros.
    rows: torch.Tensor
    errors: dict[int, str]
    lengths: None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: RowSelection) -> torch.Tensor:
        """Some rows; of a run of them, the same memory."""
        return self.rows[places] if isinstance(places, slice) else self.rows.index_select(0, torch.from_numpy(places))


class Runtime(Protocol):
    """A version that is loaded on a device. ``prepare`` may run in a thread beside ``forward``."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""

    @property
    def nbytes(self) -> int:
        """Bytes it holds on its device while it is loaded."""

    def prepare(self, batch: pa.RecordBatch) -> PreparedRows:
        """Convert a window. A bad row becomes an error of its own and spoils no other.

        :raises DataError: a column of the signature is missing, or holds something else.
        """

    def forward(self, prepared: PreparedRows, places: RowSelection) -> torch.Tensor:
        """What the network puts out for k rows of a window that it prepared: ``(k, outputs)``, on its device.

        Logits, one for each label; or the one value of a regression; or an embedding.
        """
