"""Compares multilabel predictions with the targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from longshore.shared.specs.evaluate import MAX_REPORTED_CLASSES, ClassReport, WorstRow
from longshore.workers.evaluation.bootstrap import Bootstrap, Interval
from longshore.workers.evaluation.pairs import PairCollector, Pairs
from longshore.workers.evaluation.rows import Measured, largest, whole
from longshore.workers.metrics.predictions import label_losses, predicted_labels
from longshore.workers.metrics.ranking import MAX_SCORES, label_areas, mean_area

Label = str | int | bool


class SetRows:
    """Collects multilabel rows: 17 bytes per row, 14 bytes per true or predicted label, plus the logits up to
    ``MAX_SCORES``.

    :param labels: one or more.
    """

    def __init__(self, labels: Sequence[Label]) -> None:
        self._labels = labels
        self._rows: list[npt.NDArray[np.int64]] = []
        self._losses: list[npt.NDArray[np.float64]] = []
        self._unknown: list[npt.NDArray[np.bool_]] = []
        self._logits: list[npt.NDArray[np.float32]] | None = []
        self._pairs = PairCollector(len(labels))
        self._stored_logits = 0

    def add(
        self, rows: npt.NDArray[np.int64], outputs: npt.NDArray[np.float32], targets: npt.NDArray[np.float64]
    ) -> None:
        """Add the row numbers ``(k,)``, the logits ``(k, labels)`` and the targets ``(k, labels + 1)``: 1 for each
        label of the row, and in the last column the number of unknown labels."""
        logits, true = torch.from_numpy(outputs), targets[:, :-1] > 0
        self._rows.append(rows)
        self._losses.append(label_losses(logits, torch.from_numpy(true)).numpy())
        self._unknown.append(targets[:, -1] > 0)
        self._pairs.add(true, predicted_labels(logits).numpy())
        if self._logits is not None:
            self._stored_logits += outputs.size
            self._logits = [*self._logits, outputs] if self._stored_logits <= MAX_SCORES else None

    def measure(self, bootstrap: Bootstrap, worst: int) -> Measured:
        """Compute the metrics of all rows; there must be at least one."""
        rows, losses, unknown = whole(self._rows), whole(self._losses), whole(self._unknown)
        pairs = self._pairs.collected()
        values, columns = pairs.metrics(unknown)
        values["log_loss"], columns["log_loss"] = float(losses.mean()), losses
        notes = []
        if self._logits is None:
            notes.append(f"auroc is left out: {len(rows)} rows of {len(self._labels)} labels are too many to rank")
        else:
            area = mean_area(label_areas(whole(self._logits), pairs.has))
            if area is not None:
                values["auroc"], columns["auroc"] = area
        intervals = bootstrap.of_means(values, columns)
        return Measured(
            rows=len(rows),
            metrics=values,
            intervals={name: _bounded(name, bounds) for name, bounds in intervals.items()},
            classes=self._table(pairs),
            worst=tuple(
                self._worst(pairs, int(place), int(rows[place]), float(losses[place]))
                for place in largest(losses, min(worst, len(rows)))
            ),
            unknown_rows=int(unknown.sum()),
            notes=tuple(notes),
        )

    def _worst(self, pairs: Pairs, place: int, row: int, loss: float) -> WorstRow:
        target, prediction = (tuple(self._labels[code] for code in codes) for codes in pairs.of_row(place))
        return WorstRow(row=row, target=target, prediction=prediction, loss=loss)

    def _table(self, pairs: Pairs) -> tuple[ClassReport, ...]:
        rates = pairs.by_label()
        largest = np.sort(np.argsort(-rates.support, kind="stable")[:MAX_REPORTED_CLASSES])
        return tuple(
            ClassReport(
                label=self._labels[code],
                precision=float(rates.precision[code]),
                recall=float(rates.recall[code]),
                f1=float(rates.f1[code]),
                support=int(rates.support[code]),
            )
            for code in largest
        )


def _bounded(name: str, bounds: Interval) -> Interval:
    """Clip the bounds of a share to [0, 1]; influence functions can exceed them."""
    low, high = bounds
    return (low, high) if name == "log_loss" else (max(low, 0.0), min(high, 1.0))
