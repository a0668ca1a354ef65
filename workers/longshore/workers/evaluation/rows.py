"""The interface that collects measured rows, and the metrics of all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from longshore.shared.specs.evaluate import ClassReport, ConfusionMatrix, WorstRow
from longshore.workers.evaluation.bootstrap import Bootstrap, Interval

N = TypeVar("N", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The metrics of all rows; see :class:`~longshore.shared.specs.evaluate.Evaluation`."""

    rows: int
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    worst: tuple[WorstRow, ...]
    classes: tuple[ClassReport, ...] = ()
    confusion_matrix: ConfusionMatrix | None = None
    unknown_rows: int = 0
    notes: tuple[str, ...] = ()


class Collector(Protocol):
    """Collects the outputs of rows, window by window."""

    def add(
        self, rows: npt.NDArray[np.int64], outputs: npt.NDArray[np.float32], targets: npt.NDArray[np.float64]
    ) -> None:
        """Add k rows: their numbers ``(k,)``, the outputs of the network ``(k, outputs)``, and the targets as in
        :class:`~longshore.workers.evaluation.known.Known`."""

    def measure(self, bootstrap: Bootstrap, worst: int) -> Measured:
        """Compute the metrics of all rows; there must be at least one."""


def whole(parts: Sequence[npt.NDArray[N]]) -> npt.NDArray[N]:
    """Concatenate the arrays."""
    return np.concatenate(parts)


def largest(values: npt.NDArray[np.floating], count: int) -> npt.NDArray[np.int64]:
    """The indexes of the largest values in descending order. Equal values keep their order."""
    if not count:
        return np.empty(0, np.int64)
    border = np.partition(values, len(values) - count)[len(values) - count]
    chosen = np.flatnonzero(values >= border)
    return chosen[np.argsort(-values[chosen], kind="stable")][:count]
