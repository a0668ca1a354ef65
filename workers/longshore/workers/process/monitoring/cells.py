"""The numbers that a worker's child counts, on the board that its parent reads.

Counting costs less than a microsecond and no system call, so it is done once a batch or shard, and whether or not
somebody asks for metrics. What a child has counted outlives it: the parent adds it to what was counted before.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Sequence
from enum import IntEnum
from typing import Final


class Count(IntEnum):
    """What only grows."""

    SHARDS_COMMITTED = 0
    SHARDS_FAILED = 1
    SHARDS_DEFERRED = 2
    SHARDS_RELEASED = 3
    SHARDS_LOST = 4
    MODEL_LOADS = 5
    MODEL_EVICTIONS = 6
    PROMPT_TOKENS = 61
    GENERATED_TOKENS = 62


class Measurement(IntEnum):
    """What the child measures now and then. 0 in a child that has not measured it."""

    MODELS = 7
    MODEL_BYTES = 8
    CONNECTIONS_USED = 9
    CONNECTIONS_IDLE = 10
    DEVICE_TOTAL_BYTES = 11
    DEVICE_USED_BYTES = 12
    #: From 0 to 1; below 0 if it is not known.
    DEVICE_UTILIZATION = 13


class Distribution(IntEnum):
    """What is counted by size: the first of its cells. There is one for each bucket, one for larger values, and one for
    the sum.
    """

    RUN_SECONDS = 14
    COMMIT_SECONDS = 32
    BATCH_ROWS = 50


#: The upper limits of the buckets.
BUCKETS: Final = {
    Distribution.RUN_SECONDS: (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600, 10_800, 86_400),
    Distribution.COMMIT_SECONDS: (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
    Distribution.BATCH_ROWS: (1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536),
}


class WorkerMetrics:
    """The child's side. All methods can be called from any thread.

    :param cells: the numbers on the board.
    """

    def __init__(self, cells: memoryview[float]) -> None:
        self._cells = cells
        self._lock = threading.Lock()

    def count(self, which: Count, amount: int = 1) -> None:
        """Add to a count."""
        with self._lock:
            self._cells[which] += amount

    def observe(self, which: Distribution, value: float) -> None:
        """Count a value by its size."""
        buckets = BUCKETS[which]
        with self._lock:
            self._cells[which + bisect_left(buckets, value)] += 1
            self._cells[which + len(buckets) + 1] += value

    def set(self, which: Count | Measurement, value: float) -> None:
        """Set a measurement, or a count that is kept elsewhere."""
        self._cells[which] = value


def add_counts(cells: Sequence[float], child: Sequence[float], *, ended: bool = False) -> tuple[float, ...]:
    """Add what a child has counted.

    :param ended: whether the child has ended. Then its measurements mean nothing any more.
    """
    return tuple(
        before + measured if cell not in _MEASUREMENTS else 0.0 if ended else measured
        for cell, (before, measured) in enumerate(zip(cells, child, strict=True))
    )


def buckets_of(cells: Sequence[float], which: Distribution) -> tuple[list[tuple[str, float]], float]:
    """The buckets as Prometheus counts them, each with those before it, and the sum of all values."""
    limits = (*BUCKETS[which], math.inf)
    total = 0.0
    buckets = []
    for position, limit in enumerate(limits):
        total += cells[which + position]
        buckets.append(("+Inf" if limit == math.inf else str(float(limit)), total))
    return buckets, cells[which + len(limits)]


_MEASUREMENTS: Final = frozenset(int(each) for each in Measurement)
