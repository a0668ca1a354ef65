"""How a file is cut into shards."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

#: Rows in a shard, where the caller leaves the choice to us: fewer cost too much bookkeeping, more too much of a retry.
MIN_SHARD_ROWS, MAX_SHARD_ROWS = 4096, 65_536
#: Shards aimed at between those bounds, so that some devices can share a job and its progress is seen.
TARGET_SHARDS = 8


@dataclass(frozen=True)
class Segment:
    """A run of a file's rows: those numbered ``start`` to ``stop``, the latter left out."""

    start: int
    stop: int
    #: Of a text file: the first byte of row ``start``, and the bytes from there on. Other formats need neither.
    offset: int | None = None
    length: int | None = None

    @property
    def rows(self) -> int:
        return self.stop - self.start


def choose_rows_per_shard(rows: int) -> int:
    """Rows in one shard of a file that has ``rows``."""
    return min(max(-(-rows // TARGET_SHARDS), MIN_SHARD_ROWS), MAX_SHARD_ROWS)


def cut(borders: Sequence[int], rows_per_shard: int | None) -> list[Segment]:
    """Segments of a file whose rows lie in groups.

    :param borders: the first row of each group, from 0, and the number of rows at the end.
    :param rows_per_shard: rows in each but the last; ``None`` puts small groups together and cuts a large one into
        equal parts.
    """
    rows = borders[-1]
    chosen = _choose_borders(borders) if rows_per_shard is None else [*range(0, rows, rows_per_shard), rows]
    return [Segment(start, stop) for start, stop in itertools.pairwise(chosen) if stop > start]


def _choose_borders(borders: Sequence[int]) -> list[int]:
    rows = borders[-1]
    wanted = choose_rows_per_shard(rows)
    largest = min(wanted * 3 // 2, MAX_SHARD_ROWS)
    chosen = [0]
    for start, stop in itertools.pairwise(borders):
        if stop - chosen[-1] > wanted:
            chosen.append(start)
        parts = -(-(stop - start) // largest)
        chosen += [start + (stop - start) * part // parts for part in range(1, parts)]
    return [*chosen, rows]
