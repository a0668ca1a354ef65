"""Computes the metrics of classes from counts of rows by target and prediction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from longshore.shared.specs.evaluate import POSITIVE_PREFIX
from longshore.workers.metrics.rates import Counts, Floats, macro_rates, rates


class Cells:
    """Counts of rows by target and prediction: the non-empty cells of a confusion matrix.

    :param targets: ``(n,)``, class indexes; ``classes`` for an unknown label.
    :param predicted: ``(n,)``, class indexes.
    :param positive: the class that is also measured by itself; ``None`` for none.
    """

    def __init__(
        self,
        targets: npt.NDArray[np.int64],
        predicted: npt.NDArray[np.int64],
        classes: int,
        positive: int | None = None,
    ) -> None:
        pairs, counts = np.unique(targets * (classes + 1) + predicted, return_counts=True)
        self.targets, self.predicted = pairs // (classes + 1), pairs % (classes + 1)
        self.counts: Counts = counts.astype(np.int64)
        self._classes = classes
        self._positive = positive
        self._right = self.targets == self.predicted
        self._by_target = _Sums(self.targets)
        self._by_prediction = _Sums(self.predicted)

    def by_class(self) -> tuple[Counts, Counts, Counts]:
        """The numbers of true positives, predictions and targets of each class, ``(classes,)`` each."""
        sums = []
        for labels, counts in (
            (self.targets[self._right], self.counts[self._right]),
            (self.predicted, self.counts),
            (self.targets, self.counts),
        ):
            sums.append(np.bincount(labels, counts, self._classes + 1)[: self._classes].astype(np.int64))
        return sums[0], sums[1], sums[2]

    def metrics(self, counts: Counts) -> dict[str, Floats]:
        """Accuracy, the macro averages, and the rates of the positive class, ``(r,)``, from the counts ``(r, k)`` of r
        resamples.
        """
        right = counts * self._right
        total = counts.sum(axis=1)
        occurring = np.union1d(self._by_target.labels, self._by_prediction.labels)
        occurring = occurring[occurring < self._classes]
        true = self._by_target.of(right, occurring)
        support, predicted = self._by_target.of(counts, occurring), self._by_prediction.of(counts, occurring)
        averages = macro_rates(true, predicted, support)
        return {"accuracy": right.sum(axis=1) / total, **averages, **self._positive_rates(counts, right)}

    def _positive_rates(self, counts: Counts, right: Counts) -> dict[str, Floats]:
        if self._positive is None:
            return {}
        is_target, is_predicted = self.targets == self._positive, self.predicted == self._positive
        true = right[:, is_target].sum(axis=1)
        by_name = rates(true, counts[:, is_predicted].sum(axis=1), counts[:, is_target].sum(axis=1))
        return {f"{POSITIVE_PREFIX}{name}": values for name, values in by_name.items()}


class _Sums:
    """Sums the columns of a matrix that have the same label."""

    def __init__(self, labels: npt.NDArray[np.int64]) -> None:
        self._order = np.argsort(labels, kind="stable")
        self.labels, self._starts = np.unique(labels[self._order], return_index=True)

    def of(self, counts: Counts, labels: npt.NDArray[np.int64]) -> Counts:
        """Sum ``(r, k)`` to ``(r, len(labels))``; a label without columns has 0."""
        sums = np.add.reduceat(counts[:, self._order], self._starts, axis=1)
        by_label = np.zeros((len(counts), len(labels)), np.int64)
        _, to, of = np.intersect1d(labels, self.labels, assume_unique=True, return_indices=True)
        by_label[:, to] = sums[:, of]
        return by_label
