"""Computes metrics from counts and scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from longshore.workers.evaluation.bootstrap import Counts, Floats


class Cells:
    """Counts of rows by target and prediction: the non-empty cells of a confusion matrix.

    :param targets: ``(n,)``, class indexes; ``classes`` for an unknown label.
    :param predicted: ``(n,)``, class indexes.
    """

    def __init__(self, targets: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: int) -> None:
        pairs, counts = np.unique(targets * (classes + 1) + predicted, return_counts=True)
        self.targets, self.predicted = pairs // (classes + 1), pairs % (classes + 1)
        self.counts: Counts = counts.astype(np.int64)
        self._classes = classes
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
        """Accuracy and the macro averages, ``(r,)``, from the counts ``(r, k)`` of r resamples."""
        right = counts * self._right
        total = counts.sum(axis=1)
        occurring = np.union1d(self._by_target.labels, self._by_prediction.labels)
        occurring = occurring[occurring < self._classes]
        true = self._by_target.of(right, occurring)
        support, predicted = self._by_target.of(counts, occurring), self._by_prediction.of(counts, occurring)
        there = (support + predicted) > 0
        classes = np.maximum(there.sum(axis=1), 1)
        rates = {"precision": (true, predicted), "recall": (true, support), "f1": (2 * true, predicted + support)}
        averages = {name: rate(*pair).sum(axis=1) / classes for name, pair in rates.items()}
        return {"accuracy": right.sum(axis=1) / total, **averages}


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


def rate(part: Counts, whole: Counts) -> Floats:
    """``part / whole``; 0 for entries whose ``whole`` is 0."""
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)


def auroc(scores: npt.NDArray[np.float32], positive: npt.NDArray[np.bool_]) -> tuple[float, Floats]:
    """The area under the ROC curve, and the contributions of the rows, ``(n,)`` with mean 0. Ties count half.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988.

    :param positive: has at least one positive and one negative row.
    """
    _, places = np.unique(scores, return_inverse=True)
    ups, downs = np.bincount(places, positive), np.bincount(places, ~positive)
    n_up, n_down = ups.sum(), downs.sum()
    # For each row, the share of rows of the other class that it is ranked correctly against.
    above = ((np.cumsum(downs) - downs / 2) / n_down)[places]
    below = ((n_up - np.cumsum(ups) + ups / 2) / n_up)[places]
    area = float(above[positive].mean())
    added = np.where(positive, (above - area) * (len(scores) / n_up), (below - area) * (len(scores) / n_down))
    return area, added


def r2(targets: Floats, errors: Floats) -> tuple[float, Floats] | None:
    """The coefficient of determination and the contributions of the rows; ``None`` if the targets do not vary."""
    spread = (targets - targets.mean()) ** 2
    variance = float(spread.mean())
    if len(targets) < 2 or variance == 0.0:
        return None
    share = float((errors**2).mean()) / variance
    return 1.0 - share, (share * spread - errors**2) / variance
