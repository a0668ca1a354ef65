"""Bootstrap confidence intervals: how much a metric varies when the rows are resampled with replacement.

A metric that is a mean over rows is resampled directly. R2 and AUROC are resampled by their influence functions: the
mean of the contributions of the rows (for AUROC these are DeLong's placements). With more than 10,000 rows, each
resample draws 10,000 and its deviations are scaled to the number of rows ("m out of n").

Efron and Tibshirani, An Introduction to the Bootstrap, 1993; Bickel, Gotze and van Zwet, Statistica Sinica 7, 1997.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from longshore.workers.metrics.rates import Counts, Floats

Interval = tuple[float, float]

#: Maximum rows that one resample draws.
DRAWN = 10_000
#: Numbers that are drawn at once.
_CHUNK = 2_000_000
#: The middle 95 %.
_QUANTILES = (0.025, 0.975)


class Bootstrap:
    """Resamples of one evaluation.

    :param rounds: the number of resamples; 0 gives no intervals.
    :param check: called between chunks; an exception that it raises ends the computation.
    """

    def __init__(self, rounds: int, seed: int, check: Callable[[], None]) -> None:
        self._rounds = rounds
        self._random = np.random.default_rng(seed)
        self._check = check

    def of_means(self, estimates: dict[str, float], columns: dict[str, Floats]) -> dict[str, Interval]:
        """Intervals of metrics that vary like the means of ``columns``, each ``(n,)``, with n at least 1."""
        if not (self._rounds and columns):
            return {}
        rows = len(next(iter(columns.values())))
        drawn = min(rows, DRAWN)
        means: dict[str, list[Floats]] = {name: [] for name in columns}
        for rounds in self._chunks(drawn):
            places = self._random.integers(0, rows, (rounds, drawn))
            for name, values in columns.items():
                means[name].append(values[places].mean(axis=1))
        scale = np.sqrt(drawn / rows)
        intervals = {}
        for name, values in columns.items():
            moved = (np.concatenate(means[name]) - values.mean()) * scale
            intervals[name] = _interval(estimates[name] + moved)
        return intervals

    def of_counts(self, counts: Counts, metrics: Callable[[Counts], dict[str, Floats]]) -> dict[str, Interval]:
        """Intervals of metrics that depend on the counts of rows in k cells. The counts of a resample are multinomial.

        :param counts: ``(k,)``.
        :param metrics: computes values ``(r,)`` from the counts ``(r, k)`` of r resamples.
        """
        if not self._rounds:
            return {}
        rows = int(counts.sum())
        parts: list[dict[str, Floats]] = []
        for rounds in self._chunks(len(counts)):
            parts.append(metrics(self._random.multinomial(rows, counts / rows, size=rounds)))
        return {name: _interval(np.concatenate([part[name] for part in parts])) for name in parts[0]}

    def _chunks(self, width: int) -> Iterator[int]:
        left = self._rounds
        most = max(_CHUNK // max(width, 1), 1)
        while left:
            self._check()
            yield min(left, most)
            left -= min(left, most)


def _interval(values: Floats) -> Interval:
    low, high = np.quantile(values, _QUANTILES)
    return float(low), float(high)
