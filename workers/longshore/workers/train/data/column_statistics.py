"""Measures how columns are distributed in the rows to train on, so that inference can compare its rows with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from longshore.shared.specs.signature import Signature
from longshore.shared.specs.statistics import ColumnStatistics
from longshore.shared.specs.transforms import CategoryTransform
from longshore.workers.families.column_ranges import count_ranges, single_columns

Floats = npt.NDArray[np.float32]

#: Rows that are measured, about; those without which shares are too uncertain; and columns, at most.
_SAMPLE_ROWS, _FEWEST_ROWS, _MAX_COLUMNS = 20_000, 500, 256
#: Ranges of numbers, and categories that have a range of their own.
_RANGES, _MAX_CATEGORIES = 10, 20


def evenly(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Some of the rows, evenly spaced."""
    return rows[:: max(1, len(rows) // _SAMPLE_ROWS)]


class RowSample:
    """Some rows of a stream, evenly spaced, added batch by batch."""

    def __init__(self) -> None:
        #: The rows that are kept: each a float32 matrix ``(n, width)``.
        self.rows: list[Floats] = []
        self._kept, self._step = 0, 1

    def add(self, rows: Floats) -> None:
        """Add the next rows."""
        self.rows.append(rows[:: self._step].copy())
        self._kept += len(self.rows[-1])
        while self._kept > 2 * _SAMPLE_ROWS:
            self.rows = [np.concatenate(self.rows)[::2]]
            self._kept = len(self.rows[0])
            self._step *= 2


def measure_columns(signature: Signature, rows: Sequence[Floats]) -> tuple[ColumnStatistics, ...]:
    """The distribution of each column that has one number, a category or a date; of 256 at most, and of
    500 rows at least.

    :param rows: rows to train on before they are standardised, float32 ``(n, width)`` each.
    """
    columns = single_columns(signature)[:_MAX_COLUMNS]
    if not columns or sum(map(len, rows)) < _FEWEST_ROWS:
        return ()
    measured = []
    for column in columns:
        values = np.concatenate([part[:, column.position] for part in rows])
        missing = np.concatenate([column.missing(part) for part in rows])
        borders = _borders(values[~missing], column.feature.transform)
        counts = count_ranges(values, missing, borders)
        shares = counts if column.indicator is not None else counts[:-1]
        measured.append(
            ColumnStatistics(
                name=column.feature.name,
                borders=tuple(float(border) for border in borders),
                shares=tuple((shares / max(1, shares.sum())).round(6).tolist()),
            )
        )
    return tuple(measured)


def _borders(values: Floats, transform: object) -> Floats:
    if isinstance(transform, CategoryTransform) and transform.codes <= _MAX_CATEGORIES:
        borders: Floats = np.arange(1, transform.codes + 1, dtype=np.float32)
        return borders
    different = np.unique(values)
    if len(different) <= _RANGES:
        return different[1:]
    ranks = np.arange(1, _RANGES) / _RANGES
    return np.unique(np.quantile(values, ranks, method="higher").astype(np.float32))
