"""The sums from which the metrics of a regression are computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from longshore.workers.metrics.rates import Floats
from longshore.workers.metrics.regression import r2
from longshore.workers.train.objective.rank_totals import RankTotals

#: Of several outputs, each is measured by itself, and the values are averaged.
NUMBER_METRICS: Final = ("mae", "mse", "rmse", "r2")


class NumberSums:
    """See :class:`~longshore.workers.train.objective.metrics.MetricSums`; takes ``(n, k)`` and ``(n,)`` or ``(n, k)``.

    :param names: some of ``NUMBER_METRICS``.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self._names = names
        self._device = device
        self._rows = 0
        #: Of each output: the sums of the absolute and the squared errors, the mean of the targets, and the sum of
        #: their squared deviations from it. Float64 ``(4, k)``.
        self._sums: torch.Tensor | None = None

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """See :meth:`MetricSums.add`."""
        true = targets.double().reshape(len(targets), -1)
        errors = outputs.double().reshape(true.shape) - true
        # Relative to the first: targets can be far from 0, and equal ones must have no deviation.
        away = true - true[0]
        mean = away.mean(dim=0)
        deviations = (away - mean).square().sum(dim=0)
        sums = torch.stack([errors.abs().sum(dim=0), errors.square().sum(dim=0), mean + true[0], deviations])
        if self._sums is None:
            self._sums = torch.zeros_like(sums)
        self._sums = _merged(self._sums, self._rows, sums, len(true))
        self._rows += len(true)

    def metrics(self, totals: RankTotals) -> dict[str, float]:
        """See :meth:`MetricSums.metrics`."""
        assert self._sums is not None
        counts = totals.each(torch.tensor(self._rows, device=self._device)).tolist()
        rows, sums = 0, np.zeros(self._sums.shape)
        for count, each in zip(counts, totals.each(self._sums), strict=True):
            sums = _merged(torch.from_numpy(sums), rows, torch.from_numpy(each), count).numpy()
            rows += count
        absolute, squares, _, deviations = sums
        values: dict[str, Floats] = {
            "mae": absolute / rows,
            "mse": squares / rows,
            "rmse": np.sqrt(squares / rows),
            "r2": r2(squares, deviations) if rows > 1 else np.full(len(squares), math.nan),
        }
        return {name: float(values[name].mean()) for name in self._names}


def _merged(first: torch.Tensor, first_rows: int, second: torch.Tensor, second_rows: int) -> torch.Tensor:
    """The sums of the rows of both.

    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    """
    rows = first_rows + second_rows
    if not first_rows:
        return second
    apart = second[2] - first[2]
    merged = first + second
    merged[2] = first[2] + apart * (second_rows / rows)
    merged[3] += apart.square() * (first_rows * second_rows / rows)
    return merged
