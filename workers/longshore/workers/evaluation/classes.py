"""Compares the predictions of a classifier with the targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from longshore.shared.specs.evaluate import (
    MAX_CONFUSION_CLASSES,
    MAX_REPORTED_CLASSES,
    OTHERS,
    UNKNOWN,
    ClassReport,
    ConfusionMatrix,
    WorstRow,
)
from longshore.shared.specs.positive import PositiveClass
from longshore.shared.specs.signature import OutputKind
from longshore.workers.evaluation.bootstrap import Bootstrap, Interval
from longshore.workers.evaluation.cells import Cells
from longshore.workers.evaluation.rows import Measured, largest, whole
from longshore.workers.metrics.predictions import apply_threshold, class_losses, class_scores, decided_classes
from longshore.workers.metrics.ranking import MAX_SCORES, class_areas, mean_area
from longshore.workers.metrics.rates import rates


class ClassRows:
    """Collects the rows of a classifier: about 32 bytes per row, plus the logits up to ``MAX_SCORES``.

    :param labels: two or more.
    :param positive: one of two classes, whose threshold decides the predictions and which is also measured by itself.
    :param kind: what the outputs are.
    """

    def __init__(
        self,
        labels: Sequence[str | int | bool],
        positive: PositiveClass | None = None,
        kind: OutputKind = "logits",
    ) -> None:
        self._labels = labels
        self._positive = positive
        self._kind: OutputKind = kind
        self._rows: list[npt.NDArray[np.int64]] = []
        self._targets: list[npt.NDArray[np.int64]] = []
        self._predicted: list[npt.NDArray[np.int64]] = []
        self._losses: list[npt.NDArray[np.float64]] = []
        self._logits: list[npt.NDArray[np.float32]] | None = []
        self._stored_logits = 0

    def add(
        self, rows: npt.NDArray[np.int64], outputs: npt.NDArray[np.float32], targets: npt.NDArray[np.float64]
    ) -> None:
        """Add the row numbers ``(k,)``, the outputs of the runtime and the label codes of the targets ``(k,)``."""
        codes = targets.astype(np.int64)
        by_version = decided_classes(torch.from_numpy(outputs), len(self._labels))
        outputs = np.ascontiguousarray(outputs[:, : len(self._labels)])
        logits = torch.from_numpy(outputs)
        decided = apply_threshold(by_version, class_scores(logits, self._kind), self._positive).numpy()
        known = np.minimum(codes, len(self._labels) - 1)
        losses = class_losses(logits, torch.from_numpy(known)).numpy()
        self._rows.append(rows)
        self._targets.append(codes)
        self._predicted.append(decided)
        self._losses.append(np.where(codes < len(self._labels), losses, np.nan))
        if self._logits is not None:
            self._stored_logits += outputs.size
            self._logits = [*self._logits, outputs] if self._stored_logits <= MAX_SCORES else None

    def measure(self, bootstrap: Bootstrap, worst: int) -> Measured:
        """Compute the metrics of all rows; there must be at least one."""
        rows, targets, predicted = whole(self._rows), whole(self._targets), whole(self._predicted)
        losses = whole(self._losses)
        positive = None if self._positive is None else self._positive.index
        cells = Cells(targets, predicted, len(self._labels), positive)
        metrics = {name: float(value[0]) for name, value in cells.metrics(cells.counts[None]).items()}
        intervals = bootstrap.of_counts(cells.counts, cells.metrics)
        known = targets < len(self._labels)
        unknown = int(len(known) - known.sum())
        notes = []
        if known.any():
            more, bounds, missing = self._scored(targets, losses, known, bootstrap)
            metrics |= more
            intervals |= bounds
            notes += missing
        return Measured(
            rows=len(rows),
            metrics=metrics,
            intervals=intervals,
            classes=self._table(cells),
            confusion_matrix=self._confusion(cells, unknown > 0),
            worst=tuple(
                WorstRow(
                    row=int(rows[place]),
                    target=self._labels[targets[place]],
                    prediction=self._labels[predicted[place]],
                    loss=float(losses[place]),
                )
                for place in largest(np.where(known, losses, -np.inf), min(worst, int(known.sum())))
            ),
            unknown_rows=unknown,
            notes=tuple(notes),
        )

    def _scored(
        self,
        targets: npt.NDArray[np.int64],
        losses: npt.NDArray[np.float64],
        known: npt.NDArray[np.bool_],
        bootstrap: Bootstrap,
    ) -> tuple[dict[str, float], dict[str, Interval], list[str]]:
        """Log loss and AUROC of the rows with a known label."""
        columns = {"log_loss": losses[known]}
        metrics = {"log_loss": float(columns["log_loss"].mean())}
        notes = []
        if self._logits is None:
            notes.append(f"auroc is left out: {len(targets)} rows of {len(self._labels)} classes are too many to rank")
        else:
            area = mean_area(class_areas(whole(self._logits)[known], targets[known]))
            if area is not None:
                metrics["auroc"], columns["auroc"] = area
        intervals = bootstrap.of_means(metrics, columns)
        if "auroc" in intervals:
            low, high = intervals["auroc"]
            intervals["auroc"] = (max(low, 0.0), min(high, 1.0))
        return metrics, intervals, notes

    def _table(self, cells: Cells) -> tuple[ClassReport, ...]:
        true, predicted, support = cells.by_class()
        by_class = rates(true, predicted, support)
        return tuple(
            ClassReport(
                label=self._labels[code],
                precision=float(by_class["precision"][code]),
                recall=float(by_class["recall"][code]),
                f1=float(by_class["f1"][code]),
                support=int(support[code]),
            )
            for code in _most(support, MAX_REPORTED_CLASSES)
        )

    def _confusion(self, cells: Cells, unknown: bool) -> ConfusionMatrix:
        _, _, support = cells.by_class()
        largest = _most(support, MAX_CONFUSION_CLASSES)
        labels: list[str | int | bool] = [self._labels[code] for code in largest]
        # The index of each class in the matrix; the last entry is for unknown labels.
        place = np.full(len(self._labels) + 1, len(largest), np.int64)
        place[largest] = np.arange(len(largest))
        if len(largest) < len(self._labels):
            labels.append(OTHERS)
        if unknown:
            place[-1] = len(labels)
            labels.append(UNKNOWN)
        counts = np.zeros((len(labels), len(labels)), np.int64)
        np.add.at(counts, (place[cells.targets], place[cells.predicted]), cells.counts)
        return ConfusionMatrix(labels=tuple(labels), counts=tuple(map(tuple, counts.tolist())))


def _most(support: npt.NDArray[np.int64], limit: int) -> npt.NDArray[np.int64]:
    """The classes with the most rows, in the order of the labels."""
    return np.sort(np.argsort(-support, kind="stable")[:limit])
