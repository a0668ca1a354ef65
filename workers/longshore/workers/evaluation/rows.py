"""What is kept of each row that is measured, and what comes of all of them."""

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
    """Takes the outputs of rows, window by window."""

    def add(
        self, rows: npt.NDArray[np.int64], outputs: npt.NDArray[np.float32], targets: npt.NDArray[np.float64]
    ) -> None:
        """Take k rows: their numbers ``(k,)``, the network's outputs ``(k, outputs)``, and their targets as of
        :class:`~longshore.workers.evaluation.known.Known`."""

    def measure(self, bootstrap: Bootstrap, worst: int) -> Measured:
        """The metrics of all rows, one or more."""


def whole(parts: Sequence[npt.NDArray[N]]) -> npt.NDArray[N]:
    """Several arrays as one."""
    return np.concatenate(parts)


def largest(values: npt.NDArray[np.floating], count: int) -> npt.NDArray[np.int64]:
    """The places of the largest values, largest first; of equal ones the first comes first."""
    if not count:
        return np.empty(0, np.int64)
    border = np.partition(values, len(values) - count)[len(values) - count]
    chosen = np.flatnonzero(values >= border)
    return chosen[np.argsort(-values[chosen], kind="stable")][:count]
