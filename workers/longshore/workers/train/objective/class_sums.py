"""The sums from which the metrics of a classifier are computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from longshore.workers.metrics.predictions import class_losses, predicted_classes
from longshore.workers.metrics.ranking import class_areas, mean_area
from longshore.workers.metrics.rates import macro_rates
from longshore.workers.train.objective.rank_totals import RankTotals
from longshore.workers.train.objective.stored_rows import StoredRows

#: Precision, recall and F1 are means over the classes that occur as targets or as predictions, and AUROC over those
#: that occur as targets. Perplexity is the exponential of the mean cross entropy, for any training loss.
CLASS_METRICS: Final = ("accuracy", "precision", "recall", "f1", "auroc", "perplexity")


class ClassSums:
    """See :class:`~longshore.workers.train.objective.metrics.MetricSums`; takes logits and class indexes.

    :param names: some of ``CLASS_METRICS``.
    """

    def __init__(self, names: Sequence[str], classes: int, device: torch.device) -> None:
        self._names = names
        #: Rows that are predicted correctly, predictions, and targets, of each class: int64 ``(3, classes)``.
        self._counts = torch.zeros(3, classes, dtype=torch.int64, device=device)
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._rows = StoredRows(device) if "auroc" in names else None

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """See :meth:`MetricSums.add`."""
        predicted = predicted_classes(outputs)
        right = (predicted == targets).long()
        # bincount would wait for a GPU.
        self._counts[0].index_add_(0, targets, right)
        self._counts[1].index_add_(0, predicted, torch.ones_like(right))
        self._counts[2].index_add_(0, targets, torch.ones_like(right))
        if "perplexity" in self._names:
            self._loss += class_losses(outputs, targets).sum()
        if self._rows is not None:
            self._rows.add(outputs, targets)

    def metrics(self, totals: RankTotals) -> dict[str, float]:
        """See :meth:`MetricSums.metrics`."""
        true, predicted, support = totals.sums(self._counts).astype(np.int64)
        rows = int(support.sum())
        values = {name: float(value) for name, value in macro_rates(true, predicted, support).items()}
        values["accuracy"] = int(true.sum()) / rows
        if "perplexity" in self._names:
            with np.errstate(over="ignore"):
                values["perplexity"] = float(np.exp(totals.sums(self._loss).astype(np.float64) / rows))
        if self._rows is not None:
            values["auroc"] = self._area(totals)
        return {name: values[name] for name in self._names}

    def _area(self, totals: RankTotals) -> float:
        assert self._rows is not None
        stored = self._rows.collected(totals)
        if stored is None:
            return math.nan
        logits, targets = stored
        area = mean_area(class_areas(logits, targets.astype(np.int64)))
        return math.nan if area is None else area[0]
