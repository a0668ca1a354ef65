"""Measures how columns are distributed in the rows to train on, so that inference can compare its rows with them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from longshore.shared.specs.signature import Signature
from longshore.shared.specs.statistics import ColumnStatistics
from longshore.shared.specs.transforms import CategoryTransform
from longshore.workers.families.column_ranges import count_ranges, single_columns
from longshore.workers.train.data.sample import Sample

Floats = npt.NDArray[np.float32]

#: Rows that are measured, and columns that are, at most; and the rows without which shares are too uncertain.
_MAX_ROWS, _MAX_COLUMNS, _FEWEST_ROWS = 40_000, 256, 500
#: Ranges of numbers, and categories that have a range of their own.
_RANGES, _MAX_CATEGORIES = 10, 20


def evenly(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Some of the rows, evenly spaced, so that those of a large table need not be copied."""
    return rows[:: -(-len(rows) // _MAX_ROWS) or 1]


class ColumnMeter:
    """Sees rows to train on, and measures each column that has one number, a category or a date; of 256 at most.

    It keeps the numbers of these columns alone: rows of lists and images are wide.
    """

    def __init__(self, signature: Signature) -> None:
        self._columns = single_columns(signature)[:_MAX_COLUMNS]
        places = [place for column in self._columns for place in (column.position, column.indicator)]
        self._places = sorted({place for place in places if place is not None})
        self._sample = Sample(_MAX_ROWS, np.empty((0, len(self._places)), np.float32))

    def add(self, rows: Floats, picked: npt.NDArray[np.int64 | np.bool_]) -> None:
        """See the next rows.

        :param rows: before they are standardised, float32 ``(n, width)``.
        :param picked: which of them are trained on: their indexes, or flags ``(n,)``.
        """
        if self._columns:
            self._sample.add(rows[np.ix_(picked, np.array(self._places))])

    def measured(self) -> tuple[ColumnStatistics, ...]:
        """The distribution of each column; empty if there were fewer than 500 rows."""
        rows = self._sample.values
        if len(rows) < _FEWEST_ROWS:
            return ()
        measured = []
        for column in self._columns:
            values = rows[:, self._places.index(column.position)]
            place = column.indicator
            missing = np.zeros(len(rows), bool) if place is None else rows[:, self._places.index(place)] != 0
            borders = _borders(values[~missing], column.feature.transform)
            counts = count_ranges(values, missing, borders)
            counts = counts[:-1] if place is None else counts
            shares = (counts / len(rows)).round(6)
            measured.append(ColumnStatistics(name=column.feature.name, borders=_tuple(borders), shares=_tuple(shares)))
        return tuple(measured)


def _tuple(values: npt.NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _borders(values: Floats, transform: object) -> Floats:
    if isinstance(transform, CategoryTransform) and transform.codes <= _MAX_CATEGORIES:
        borders: Floats = np.arange(1, transform.codes + 1, dtype=np.float32)
        return borders
    different = np.unique(values)
    if len(different) <= _RANGES:
        return different[1:]
    ranks = np.arange(1, _RANGES) / _RANGES
    return np.unique(np.quantile(values, ranks, method="higher").astype(np.float32))
