"""Pairs of a row and a true or predicted label of it, and the metrics that depend on these pairs only.

All other pairs are correct; there are many more of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from longshore.workers.evaluation.rows import whole
from longshore.workers.metrics.rates import Counts, Floats, rate

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelRates:
    """Rates by label, ``(labels,)`` each. A rate with denominator 0 is 0."""

    precision: Floats
    recall: Floats
    f1: Floats
    #: Rows that have the label.
    support: Counts


@dataclass(frozen=True)
class Pairs:
    """The k pairs of n rows, ordered by label and then by row."""

    rows: int
    labels: int
    #: The index of the row and the index of the label, ``(k,)``.
    place: npt.NDArray[np.int64]
    label: npt.NDArray[np.int32]
    #: Whether the row has the label, and whether the version predicts it; at least one is true.
    true: Bools
    predicted: Bools

    def metrics(self, unknown: Bools) -> tuple[dict[str, float], dict[str, Floats]]:
        """The metrics of all rows, and columns ``(n,)`` whose means vary like the metrics when rows are resampled.

        The columns of metrics that are not means over rows hold their influence functions.

        :param unknown: whether the row has unknown labels, ``(n,)``.
        """
        wrong = self._by_row(self.true != self.predicted)
        columns = {
            "accuracy": 1.0 - wrong / self.labels,
            "subset_accuracy": ((wrong == 0) & ~unknown).astype(np.float64),
        }
        values = {name: float(column.mean()) for name, column in columns.items()}
        for name, (part, of) in self._quotients().items():
            values[name], columns[name] = self._macro(part, of)
        values["micro_f1"], columns["micro_f1"] = self._micro(*self._quotients()["f1"])
        return values, columns

    def by_label(self) -> LabelRates:
        """Precision, recall, F1 and support of each label."""
        sums = {name: (self._by_label(part), self._by_label(of)) for name, (part, of) in self._quotients().items()}
        rates = {name: rate(*pair) for name, pair in sums.items()}
        return LabelRates(**rates, support=self._by_label(self.true).astype(np.int64))

    def has(self, label: int) -> Bools:
        """Whether each row has the label, ``(n,)``."""
        first, last = np.searchsorted(self.label, [label, label + 1])
        has_label = np.zeros(self.rows, np.bool_)
        has_label[self.place[first:last][self.true[first:last]]] = True
        return has_label

    def of_row(self, place: int) -> tuple[list[int], list[int]]:
        """The true labels and the predicted labels of a row."""
        own = self.place == place
        return self.label[own & self.true].tolist(), self.label[own & self.predicted].tolist()

    def _quotients(self) -> dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """The contributions of each pair to the numerator and the denominator of each rate, ``(k,)``."""
        true, predicted = self.true.astype(np.int64), self.predicted.astype(np.int64)
        both = true * predicted
        return {"precision": (both, predicted), "recall": (both, true), "f1": (2 * both, true + predicted)}

    def _macro(self, part: npt.NDArray[np.int64], of: npt.NDArray[np.int64]) -> tuple[float, Floats]:
        """The mean of a rate over all labels."""
        wholes = self._by_label(of)
        rates = rate(self._by_label(part), wholes)
        moved = (part - rates[self.label] * of) / np.maximum(wholes, 1)[self.label]
        return float(rates.mean()), self._by_row(moved) * (self.rows / self.labels)

    def _micro(self, part: npt.NDArray[np.int64], of: npt.NDArray[np.int64]) -> tuple[float, Floats]:
        """A rate over all pairs."""
        total = int(of.sum())
        share = int(part.sum()) / total if total else 0.0
        return share, self._by_row(part - share * of) * (self.rows / max(total, 1))

    def _by_row(self, weights: npt.NDArray[np.generic]) -> Floats:
        sums: Floats = np.bincount(self.place, weights.astype(np.float64), self.rows).astype(np.float64)
        return sums

    def _by_label(self, weights: npt.NDArray[np.generic]) -> Counts:
        return np.bincount(self.label, weights.astype(np.float64), self.labels).astype(np.int64)


class PairCollector:
    """Collects rows, window by window. Stores 14 bytes per pair."""

    def __init__(self, labels: int) -> None:
        self._labels = labels
        self._rows = 0
        self._place: list[npt.NDArray[np.int64]] = []
        self._label: list[npt.NDArray[np.int32]] = []
        self._true: list[Bools] = []
        self._predicted: list[Bools] = []

    def add(self, true: Bools, predicted: Bools) -> None:
        """Add k rows; both arrays are ``(k, labels)``."""
        places, labels = np.nonzero(true | predicted)
        self._place.append(places + self._rows)
        self._label.append(labels.astype(np.int32))
        self._true.append(true[places, labels])
        self._predicted.append(predicted[places, labels])
        self._rows += len(true)

    def collected(self) -> Pairs:
        """The pairs of all rows; there must be at least one row."""
        label = whole(self._label)
        order = np.argsort(label, kind="stable")
        columns = (whole(self._place)[order], label[order], whole(self._true)[order], whole(self._predicted)[order])
        return Pairs(self._rows, self._labels, *columns)
