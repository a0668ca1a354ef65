"""Splits the rows of a file into shards."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from longshore.shared import limits
from longshore.shared.errors import InvalidInput

#: Bounds of an automatic choice: smaller shards cost too much bookkeeping, larger ones make a retry too expensive.
MIN_ROWS_PER_SHARD, MAX_ROWS_PER_SHARD = 4096, 65_536
#: The number of shards to aim for within these bounds, so that devices can share a job and its progress is visible.
TARGET_SHARDS = 8


@dataclass(frozen=True)
class Segment:
    """Consecutive rows of a file: ``start`` (inclusive) to ``stop`` (exclusive)."""

    start: int
    stop: int
    #: Only for text files: the byte offset of row ``start``, and the size of the segment in bytes.
    offset: int | None = None
    length: int | None = None

    @property
    def rows(self) -> int:
        return self.stop - self.start


def choose_rows_per_shard(rows: int) -> int:
    """The number of rows per shard for a file of ``rows`` rows."""
    return min(max(-(-rows // TARGET_SHARDS), MIN_ROWS_PER_SHARD), MAX_ROWS_PER_SHARD)


def cut(borders: Sequence[int], rows_per_shard: int | None) -> list[Segment]:
    """Split a file whose rows are stored in groups into segments.

    :param borders: the first row of each group, from 0, followed by the total number of rows.
    :param rows_per_shard: rows in each segment but the last; ``None`` merges small groups and splits large ones
        evenly.
    :raises InvalidInput: there would be more than :data:`~longshore.shared.limits.MAX_SHARDS`; a damaged number of
        rows would need more than fit into memory.
    """
    rows = borders[-1]
    if rows > limits.MAX_SHARDS * (rows_per_shard or MAX_ROWS_PER_SHARD):
        raise InvalidInput(
            "rows_per_shard",
            f"{rows:,} rows in shards of {rows_per_shard or MAX_ROWS_PER_SHARD:,} would be more than "
            f"{limits.MAX_SHARDS:,} shards; give at least {-(-rows // limits.MAX_SHARDS):,}, or correct the file if "
            "it has fewer rows",
        )
    chosen = _choose_borders(borders) if rows_per_shard is None else [*range(0, rows, rows_per_shard), rows]
    return [Segment(start, stop) for start, stop in itertools.pairwise(chosen) if stop > start]


def _choose_borders(borders: Sequence[int]) -> list[int]:
    rows = borders[-1]
    target = choose_rows_per_shard(rows)
    largest = min(target * 3 // 2, MAX_ROWS_PER_SHARD)
    chosen = [0]
    for start, stop in itertools.pairwise(borders):
        if stop - chosen[-1] > target:
            chosen.append(start)
        pieces = -(-(stop - start) // largest)
        chosen += [start + (stop - start) * piece // pieces for piece in range(1, pieces)]
    return [*chosen, rows]
