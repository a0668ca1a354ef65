"""Metrics of numbers.

https://scikit-learn.org/stable/modules/model_evaluation.html#regression-metrics
"""

from __future__ import annotations

import numpy as np

from longshore.workers.metrics.rates import Floats


def squared_deviations(targets: Floats) -> Floats:
    """The squared deviations of targets ``(n,)`` from their mean; exactly 0 if all targets are the same."""
    # Relative to the first: the mean of equal numbers can be rounded, and so differ from them.
    away = targets - targets[0]
    squares: Floats = (away - away.mean()) ** 2
    return squares


def r2(errors: Floats, deviations: Floats) -> Floats:
    """The coefficient of determination, ``1 - errors / deviations``.

    For targets that do not vary it is 0, or 1 if every prediction is exact, as in scikit-learn.

    :param errors: the sum over the rows of the squared errors.
    :param deviations: the sum over the rows of :func:`squared_deviations`.
    """
    constant = deviations == 0
    quotient = np.divide(errors, deviations, out=np.zeros(np.shape(errors)), where=~constant)
    explained: Floats = np.where(constant, np.where(errors == 0, 1.0, 0.0), 1.0 - quotient)
    return explained
