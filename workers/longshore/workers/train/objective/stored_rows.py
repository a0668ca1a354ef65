"""The outputs and targets of held-out rows, for metrics that no sums give."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from longshore.workers.metrics.ranking import MAX_SCORES
from longshore.workers.train.objective.rank_totals import RankTotals


class StoredRows:
    """Outputs, float32, and targets on their device; at most ``MAX_SCORES`` outputs of all ranks."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._outputs: list[torch.Tensor] = []
        self._targets: list[torch.Tensor] = []
        self._stored = 0

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Add ``(n, outputs)`` and ``(n, ...)``."""
        self._stored += outputs.numel()
        if self._stored <= MAX_SCORES:
            self._outputs.append(outputs.float())
            self._targets.append(targets)

    def collected(self, totals: RankTotals) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.generic]] | None:
        """The rows of all ranks; ``None`` if there were too many. The ranks have rows in equal parts."""
        stored = totals.sums(torch.tensor(self._stored, device=self._device))
        if int(stored) > MAX_SCORES:
            return None
        outputs, targets = totals.rows(torch.cat(self._outputs)), totals.rows(torch.cat(self._targets))
        return outputs.astype(np.float32, copy=False), targets
