"""Keeps some of many rows, evenly spaced, without knowing how many there will be."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

F = TypeVar("F", np.float32, np.float64)

#: Numbers of a column that are kept for its quantiles.
MAX_NUMBERS = 1 << 20


class Sample(Generic[F]):
    """Rows of numbers, added batch by batch. All are kept up to a limit, then every second, fourth, ...

    :param limit: rows that are kept, at most.
    :param empty: no rows, of the shape and the type of those that are added.
    """

    def __init__(self, limit: int, empty: npt.NDArray[F]) -> None:
        self._limit = limit
        self._parts: list[npt.NDArray[F]] = [empty]
        self._kept = 0
        self._step = 1
        self._added = 0

    def add(self, rows: npt.NDArray[F]) -> None:
        """Add the next rows."""
        first = -self._added % self._step
        self._added += len(rows)
        self._parts.append(rows[first :: self._step])
        self._kept += len(self._parts[-1])
        while self._kept > self._limit:
            self._parts = [self.values[::2]]
            self._kept = len(self._parts[0])
            self._step *= 2

    @property
    def values(self) -> npt.NDArray[F]:
        """The rows that are kept, in order."""
        return np.concatenate(self._parts)


def number_sample() -> Sample[np.float64]:
    """A sample of the numbers of a column."""
    return Sample(MAX_NUMBERS, np.empty(0))
