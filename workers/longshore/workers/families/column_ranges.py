"""Counts the values of a row's columns by ranges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.transforms import DateTransform, NumberTransform

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SingleColumn:
    """A column with one value per row that has a distribution."""

    feature: Feature
    #: The position of the value in a row.
    position: int
    #: The position of the number that says whether the value was missing; ``None`` if there is none.
    indicator: int | None

    def missing(self, rows: Floats) -> npt.NDArray[np.bool_]:
        """Which values are missing, ``(n,)``."""
        return np.zeros(len(rows), bool) if self.indicator is None else rows[:, self.indicator] != 0


def single_columns(signature: Signature) -> list[SingleColumn]:
    """The columns of numbers, categories and days of a signature, in order. Lists, images and texts have none."""
    columns, start = [], 0
    for feature in signature.features:
        transform = feature.transform
        number = feature.kind == "number" and feature.width is None
        days = isinstance(transform, DateTransform) and transform.parts[0] == "time"
        if number or feature.kind == "category" or days:
            marked = isinstance(transform, NumberTransform | DateTransform) and transform.indicator
            columns.append(SingleColumn(feature, start, start + feature.size - 1 if marked else None))
        start += feature.size
    return columns


def count_ranges(values: Floats, missing: npt.NDArray[np.bool_], borders: Floats) -> npt.NDArray[np.int64]:
    """How many values are in each range, then how many are missing, int64 ``(len(borders) + 2,)``.

    :param borders: see :class:`~longshore.shared.specs.statistics.ColumnStatistics`.
    """
    ranges = np.searchsorted(borders, values, side="right")
    ranges[missing] = len(borders) + 1
    return np.bincount(ranges, minlength=len(borders) + 2)
