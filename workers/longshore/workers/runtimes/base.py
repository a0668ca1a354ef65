"""What a runtime is: prepare, forward, encode.

The three are apart because they run in three threads: a reader prepares the next batch while the device computes this
one and a writer encodes the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import torch

from longshore.shared.signature import Signature


@dataclass(frozen=True)
class Prepared:
    """A batch of n rows as the runtime takes it."""

    #: float32 ``(n, width)``, on the CPU. A row with an error holds anything.
    rows: torch.Tensor
    #: Why a row cannot be run, by its place in the batch.
    errors: dict[int, str]


@dataclass(frozen=True)
class Outputs:
    """What a batch of n rows came to, on the CPU."""

    #: float32 ``(n,)``: the value, or the score of the most probable class.
    values: torch.Tensor
    #: int64 ``(n,)``: the most probable class; ``None`` for regression.
    classes: torch.Tensor | None
    #: Those of the prepared batch.
    errors: dict[int, str]


@dataclass(frozen=True)
class Encoded:
    """What is written for a batch of n rows."""

    #: JSON text of each row, ``(n,)``; null exactly where the row has an error.
    outputs: pa.StringArray
    #: Why a row has no output, by its place in the batch: it could not be run, or came to no finite number.
    errors: dict[int, str]


class Runtime(Protocol):
    """A version that is loaded on a device. ``prepare`` and ``encode`` may run in threads beside ``forward``."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""

    @property
    def nbytes(self) -> int:
        """Bytes it holds on its device while it is loaded."""

    def prepare(self, batch: pa.RecordBatch) -> Prepared:
        """Convert a batch. A bad row becomes an error of its own and spoils no other.

        :raises InvalidInput: a column of the signature is missing, or holds something else.
        """

    def forward(self, prepared: Prepared) -> Outputs:
        """Compute, and wait for the device."""

    def encode(self, outputs: Outputs) -> Encoded:
        """Write the outputs as JSON: ``{"label": "3", "score": 0.98}``, or ``{"value": 1.25}``.

        ``score`` is the softmax probability of ``label``. Numbers are the shortest that read back as the same float32.
        """
