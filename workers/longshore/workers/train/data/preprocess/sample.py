"""Numbers of which so many are kept that their quantiles are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

#: Numbers that are kept, at most; of more rows, evenly spaced ones.
MAX_SAMPLE = 1 << 20


class Sample:
    """Finite numbers, added batch by batch. All are kept up to :data:`MAX_SAMPLE`, then every second, fourth, ..."""

    def __init__(self) -> None:
        self._parts: list[Doubles] = []
        self._kept = 0
        self._step = 1
        self._added = 0

    def add(self, values: Doubles) -> None:
        """Add the next numbers."""
        first = -self._added % self._step
        self._added += len(values)
        self._parts.append(values[first :: self._step])
        self._kept += len(self._parts[-1])
        while self._kept > MAX_SAMPLE:
            self._parts = [self.values[::2]]
            self._kept = len(self._parts[0])
            self._step *= 2

    @property
    def values(self) -> Doubles:
        """The numbers that are kept, in order."""
        return np.concatenate(self._parts) if self._parts else np.empty(0)
