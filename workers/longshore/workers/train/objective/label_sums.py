"""The sums from which the metrics of multilabel are computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from longshore.workers.metrics.predictions import predicted_labels
from longshore.workers.metrics.ranking import label_areas, mean_area
from longshore.workers.metrics.rates import rate, rates
from longshore.workers.train.objective.rank_totals import RankTotals
from longshore.workers.train.objective.stored_rows import StoredRows

#: ``accuracy`` and ``micro_f1`` count all pairs of a row and a label, ``subset_accuracy`` counts rows whose labels are
#: all correct, and the others are means over the labels; AUROC over those that some rows have and others lack.
LABEL_METRICS: Final = ("accuracy", "subset_accuracy", "precision", "recall", "f1", "micro_f1", "auroc")


class LabelSums:
    """See :class:`~longshore.workers.train.objective.metrics.MetricSums`; takes logits and bools ``(n, labels)``.

    :param names: some of ``LABEL_METRICS``.
    """

    def __init__(self, names: Sequence[str], labels: int, device: torch.device) -> None:
        self._names = names
        #: Rows that have a label and are predicted to, that are predicted to, and that have it: int64 ``(3, labels)``.
        self._counts = torch.zeros(3, labels, dtype=torch.int64, device=device)
        #: Rows whose labels are all correct, and all rows.
        self._rows_right = torch.zeros(2, dtype=torch.int64, device=device)
        self._rows = StoredRows(device) if "auroc" in names else None

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """See :meth:`MetricSums.add`."""
        predicted, true = predicted_labels(outputs), targets.bool()
        self._counts += torch.stack([(predicted & true).sum(dim=0), predicted.sum(dim=0), true.sum(dim=0)])
        self._rows_right[0] += (predicted == true).all(dim=1).sum()
        self._rows_right[1] += len(true)
        if self._rows is not None:
            self._rows.add(outputs, true)

    def metrics(self, totals: RankTotals) -> dict[str, float]:
        """See :meth:`MetricSums.metrics`."""
        true, predicted, support = totals.sums(self._counts).astype(np.int64)
        right, rows = totals.sums(self._rows_right).tolist()
        values = {name: float(by_label.mean()) for name, by_label in rates(true, predicted, support).items()}
        wrong = int((predicted + support - 2 * true).sum())
        values["accuracy"] = 1.0 - wrong / (rows * len(true))
        values["subset_accuracy"] = right / rows
        values["micro_f1"] = float(rate(2 * true.sum(), (predicted + support).sum()))
        if self._rows is not None:
            values["auroc"] = self._area(totals)
        return {name: values[name] for name in self._names}

    def _area(self, totals: RankTotals) -> float:
        assert self._rows is not None
        stored = self._rows.collected(totals)
        if stored is None:
            return math.nan
        logits, targets = stored
        true = targets.astype(np.bool_, copy=False)
        area = mean_area(label_areas(logits, lambda label: true[:, label]))
        return math.nan if area is None else area[0]
