"""The postprocessing interface: reduce outputs on the device batch by batch, then make columns a window at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from longshore.workers.runtimes.base import PreparedRows

#: The reduced outputs of n rows: arrays whose first axis is n.
HeadArrays: TypeAlias = Sequence[npt.NDArray[np.generic]]


class RowHeads(Protocol):
    """The postprocessing of a job."""

    def reduce(self, raw: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
        """Reduce what :meth:`Runtime.forward` returns for k rows to tensors that are worth copying, by head."""

    def columns(self, by_head: Sequence[HeadArrays], prepared: PreparedRows) -> pa.StructArray:
        """The outputs of n rows as one struct, ``(n,)``.

        :param by_head: the reduced outputs.
        :param prepared: the rows.
        """
