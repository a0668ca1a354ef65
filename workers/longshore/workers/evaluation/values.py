"""Compares the predictions of a regression with the targets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from longshore.shared.specs.evaluate import WorstRow
from longshore.workers.evaluation.bootstrap import Bootstrap
from longshore.workers.evaluation.rows import Measured, largest, whole
from longshore.workers.metrics.rates import Floats
from longshore.workers.metrics.regression import r2, squared_deviations


class ValueRows:
    """Collects the rows of a regression: 24 bytes per row."""

    def __init__(self) -> None:
        self._rows: list[npt.NDArray[np.int64]] = []
        self._targets: list[npt.NDArray[np.float64]] = []
        self._predicted: list[npt.NDArray[np.float64]] = []

    def add(
        self, rows: npt.NDArray[np.int64], outputs: npt.NDArray[np.float32], targets: npt.NDArray[np.float64]
    ) -> None:
        """Add the row numbers ``(k,)``, the outputs ``(k, 1)`` and the targets ``(k,)``."""
        self._rows.append(rows)
        self._targets.append(targets)
        self._predicted.append(outputs[:, 0].astype(np.float64))

    def measure(self, bootstrap: Bootstrap, worst: int) -> Measured:
        """Compute the metrics of all rows; there must be at least one."""
        rows, targets, predicted = whole(self._rows), whole(self._targets), whole(self._predicted)
        errors = predicted - targets
        # The squares of targets above 1e154 overflow.
        with np.errstate(over="ignore", invalid="ignore"):
            columns = {"mae": np.abs(errors), "mse": errors**2}
            metrics = {name: float(values.mean()) for name, values in columns.items()}
            if len(rows) > 1:
                metrics["r2"], columns["r2"] = _explained(targets, errors)
        finite = {name: value for name, value in metrics.items() if np.isfinite(value)}
        intervals = bootstrap.of_means(finite, {name: columns[name] for name in finite})
        if "r2" in intervals:
            intervals["r2"] = (intervals["r2"][0], min(intervals["r2"][1], 1.0))
        losses = columns["mse"]
        return Measured(
            rows=len(rows),
            metrics=finite,
            intervals=intervals,
            worst=tuple(
                WorstRow(
                    row=int(rows[place]),
                    target=float(targets[place]),
                    prediction=float(predicted[place]),
                    loss=float(min(losses[place], np.finfo(np.float64).max)),
                )
                for place in largest(losses, min(worst, len(rows)))
            ),
        )


def _explained(targets: Floats, errors: Floats) -> tuple[float, Floats]:
    """The coefficient of determination, and the contributions of the rows to it."""
    deviations, squares = squared_deviations(targets), errors**2
    explained = float(r2(squares.sum(), deviations.sum()))
    variance = float(deviations.mean())
    if variance == 0.0:
        return explained, np.zeros_like(errors)
    return explained, ((1.0 - explained) * deviations - squares) / variance
