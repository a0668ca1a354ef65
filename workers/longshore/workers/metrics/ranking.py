"""The area under the ROC curve, exact: from the order of all scores, not from bins.

Scores are logits or logarithms of odds, not probabilities: probabilities near 0 and 1 are equal where these differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from longshore.workers.metrics.rates import Floats

#: Maximum number of logits that are stored for the area; with more, it is left out.
MAX_SCORES = 32_000_000
#: Logits that are converted to float64 at once.
_STEP = 1_000_000

Area = tuple[float, Floats]


def auroc(scores: npt.NDArray[np.floating], positive: npt.NDArray[np.bool_]) -> Area:
    """The area under the ROC curve, and the contributions of the rows, ``(n,)`` with mean 0. Ties count half.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988.

    :param scores: ``(n,)``; the area is NaN if one of them is.
    :param positive: has at least one positive and one negative row.
    """
    if np.isnan(scores).any():
        return float("nan"), np.full(len(scores), np.nan)
    _, places = np.unique(scores, return_inverse=True)
    ups, downs = np.bincount(places, positive), np.bincount(places, ~positive)
    n_up, n_down = ups.sum(), downs.sum()
    # For each row, the share of rows of the other class that it is ranked correctly against.
    above = ((np.cumsum(downs) - downs / 2) / n_down)[places]
    below = ((n_up - np.cumsum(ups) + ups / 2) / n_up)[places]
    area = float(above[positive].mean())
    added = np.where(positive, (above - area) * (len(scores) / n_up), (below - area) * (len(scores) / n_down))
    return area, added


def class_areas(logits: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]) -> Iterator[Area]:
    """The areas of a classifier, which are averaged: each class that occurs against the rest. Two classes have one.

    :param logits: ``(n, classes)``.
    :param targets: class indexes, ``(n,)``.
    :returns: none if only one class occurs.
    """
    occurring = np.unique(targets)
    if len(occurring) < 2:
        return
    if logits.shape[1] == 2:
        with np.errstate(invalid="ignore"):
            scores = logits[:, 1].astype(np.float64) - logits[:, 0]
        yield auroc(scores, targets == 1)
        return
    odds = _LogOdds(logits)
    for code in occurring:
        yield auroc(odds.of(int(code)), targets == code)


def label_areas(logits: npt.NDArray[np.float32], has_label: Callable[[int], npt.NDArray[np.bool_]]) -> Iterator[Area]:
    """The areas of the labels that some rows have and others lack, which are averaged.

    :param logits: ``(n, labels)``.
    :param has_label: whether each row has a label, ``(n,)``.
    """
    for label in range(logits.shape[1]):
        positive = has_label(label)
        if positive.any() and not positive.all():
            yield auroc(logits[:, label], positive)


def mean_area(areas: Iterator[Area]) -> Area | None:
    """The mean of areas and of the contributions to them; ``None`` if there is none."""
    total, added, count = 0.0, np.zeros(1), 0
    for area, contributions in areas:
        total, added, count = total + area, added + contributions, count + 1
    return (total / count, added / count) if count else None


class _LogOdds:
    """The logarithms of the odds of classes: a logit minus the logsumexp of the other logits, float64.

    They have the order of the probabilities, and no ties where these are rounded to 0 or 1. Rows whose logits differ
    only by a constant, or in their order, have the same sums to the last bit, so that true ties are ties.
    """

    def __init__(self, logits: npt.NDArray[np.float32]) -> None:
        self._logits = logits
        largest = logits.argmax(axis=1)
        self._maximum = logits[np.arange(len(logits)), largest].astype(np.float64)
        #: The logsumexp of the logits besides the largest, relative to the largest.
        self._others = np.empty(len(logits))
        for rows in np.array_split(np.arange(len(logits)), -(-logits.size // _STEP)):
            with np.errstate(all="ignore"):
                away = logits[rows].astype(np.float64) - self._maximum[rows, None]
                away[np.arange(len(rows)), largest[rows]] = -np.inf
                away.sort(axis=1)
                second = away[:, -1]
                self._others[rows] = second + np.log(np.exp(away - second[:, None]).sum(axis=1))
                # No other class has a probability: the difference above is not a number.
                self._others[rows[second == -np.inf]] = -np.inf
        self._logsumexp = np.log1p(np.exp(self._others))

    def of(self, code: int) -> Floats:
        """The logarithm of the odds of one class, ``(n,)``."""
        with np.errstate(all="ignore"):
            away = self._logits[:, code] - self._maximum
            logs = away - self._logsumexp
            # The class with the largest logit can have a probability near 1, whose complement this would round to 0.
            odds: Floats = np.where(away == 0, -self._others, logs - np.log(-np.expm1(logs)))
        return odds
