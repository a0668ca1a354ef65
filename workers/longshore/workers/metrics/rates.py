"""Rates from counts of rows. A rate whose denominator is 0 is 0.

https://scikit-learn.org/stable/modules/model_evaluation.html#precision-recall-f-measure-metrics
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def rate(part: Counts, whole: Counts) -> Floats:
    """``part / whole``; 0 for entries whose ``whole`` is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)


def rates(true: Counts, predicted: Counts, support: Counts) -> dict[str, Floats]:
    """Precision, recall and F1 of each class, or of each label of multilabel.

    :param true: rows that have the class and are predicted to.
    :param predicted: rows that are predicted to have it.
    :param support: rows that have it.
    """
    return {
        "precision": rate(true, predicted),
        "recall": rate(true, support),
        "f1": rate(2 * true, predicted + support),
    }


def macro_rates(true: Counts, predicted: Counts, support: Counts) -> dict[str, Floats]:
    """Precision, recall and F1, each the mean over the classes that occur as targets or as predictions.

    The counts are those of :func:`rates`, ``(..., classes)``; the means are ``(...)``, and 0 if no class occurs.
    """
    occurring = np.maximum(((support + predicted) > 0).sum(axis=-1), 1)
    return {name: by_class.sum(axis=-1) / occurring for name, by_class in rates(true, predicted, support).items()}
