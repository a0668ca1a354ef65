"""Compares the rows of a shard with those that its version was trained on."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from longshore.workers.families.column_ranges import count_ranges, single_columns
from longshore.workers.runtimes.base import Matrix, PreparedRows, Runtime

#: Rows that are looked at in a window, evenly spaced, and the rows without which a shard says nothing.
_WINDOW_ROWS, _FEWEST_ROWS = 1024, 500
#: The population stability index from which on a column is noted; a usual threshold for a "significant shift".
NOTED = 0.25
#: Columns that the note lists, at most.
_LISTED = 12


class DriftMonitor:
    """Sees the windows of a shard.

    It measures the population stability index of each column that the training has measured:
    ``sum((p - q) * log(p / q))`` over ranges of its values, where p is the share of a range in the shard and q that in
    the training. Siddiqi, "Credit Risk Scorecards", 2006.
    """

    def __init__(self, runtime: Runtime) -> None:
        known = {column.name: column for column in runtime.statistics}
        self._columns = [
            (column, known[column.feature.name], np.array(known[column.feature.name].borders, np.float32))
            for column in single_columns(runtime.signature)
            if column.feature.name in known
        ]
        self._counts = [np.zeros(len(borders) + 2, np.int64) for _, _, borders in self._columns]

    def add(self, prepared: PreparedRows) -> None:
        """See the next window."""
        if not self._columns or not isinstance(prepared, Matrix):
            return
        picked = np.arange(0, len(prepared), max(1, len(prepared) // _WINDOW_ROWS))
        if prepared.errors:  # these rows are zeros
            picked = picked[~np.isin(picked, list(prepared.errors))]
        rows = prepared.rows.numpy()[picked]
        for (column, _, borders), counts in zip(self._columns, self._counts, strict=True):
            counts += count_ranges(rows[:, column.position], column.missing(rows), borders)

    @cached_property
    def indexes(self) -> dict[str, float]:
        """The index of each column, by name, after the last window; empty if there were too few rows to tell."""
        measured = {}
        for (column, known, _), counts in zip(self._columns, self._counts, strict=True):
            if counts.sum() >= _FEWEST_ROWS:
                own = counts if len(known.shares) == len(counts) else counts[:-1]
                measured[column.feature.name] = stability_index(own, np.array(known.shares))
        return measured


def stability_index(counts: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]) -> float:
    """The population stability index of counts by range against the expected shares.

    Half a row is added to each range, so that an empty one does not make it infinite.
    """
    rows = int(counts.sum())
    own = (counts + 0.5) / (rows + 0.5 * len(counts))
    expected = (shares * rows + 0.5) / (rows + 0.5 * len(shares))
    return float(((own - expected) * np.log(own / expected)).sum())


def drift_metrics(indexes: dict[str, float]) -> dict[str, float]:
    """The metrics of a shard: ``drift`` is that of the column that differs most, ``drift.<column>`` those noted."""
    if not indexes:
        return {}
    noted = {f"drift.{name}": index for name, index in indexes.items() if index >= NOTED}
    return {"drift": max(indexes.values()), **noted}


def drift_notes(indexes: dict[str, float]) -> list[str]:
    """A note if columns differ from those that were trained on. It is the same for each shard with these columns."""
    columns = sorted(name for name, index in indexes.items() if index >= NOTED)
    if not columns:
        return []
    more = f" and {len(columns) - _LISTED} more" if len(columns) > _LISTED else ""
    listed = ", ".join(map(repr, columns[:_LISTED])) + more
    return [
        f"the values of {listed} are distributed otherwise than in the rows that the version was trained on "
        f"(population stability index of {NOTED} or more; the metrics drift.<column> have it for each shard)"
    ]
