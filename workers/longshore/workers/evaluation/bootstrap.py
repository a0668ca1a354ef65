"""Confidence intervals by the bootstrap: how far a metric moves when the rows are drawn again, with replacement.

A metric that is a mean over rows is resampled as it is; R2 and AUROC by their influence functions, that is, by the
mean of what each row adds to them (for AUROC these are DeLong's placements). Of more than 10,000 rows, each resample
draws so many, and its deviations are scaled to the number of rows ("m out of n").

Efron and Tibshirani, An Introduction to the Bootstrap, 1993; Bickel, Gotze and van Zwet, Statistica Sinica 7, 1997.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Interval = tuple[float, float]

#: Rows that one resample draws, at most.
DRAWN = 10_000
#: Numbers that are drawn at a time.
_CHUNK = 2_000_000
#: The middle 95 %.
_QUANTILES = (0.025, 0.975)


class Bootstrap:
    """Resamples of one evaluation.

    :param rounds: how many; 0 gives no intervals.
    :param check: called between chunks; what it raises ends the work.
    """

    def __init__(self, rounds: int, seed: int, check: Callable[[], None]) -> None:
        self._rounds = rounds
        self._random = np.random.default_rng(seed)
        self._check = check

    def of_means(self, estimates: dict[str, float], columns: dict[str, Floats]) -> dict[str, Interval]:
        """Intervals of metrics that move as the means of ``columns``, each ``(n,)``, with n at least 1."""
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
        """Intervals of metrics of how many rows lie in each of k cells: the counts of a resample are multinomial.

        :param counts: ``(k,)``.
        :param metrics: from counts ``(r, k)`` of r resamples to values ``(r,)``.
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
