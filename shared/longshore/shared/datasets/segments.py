"""How a file is cut into shards."""

from __future__ import annotations

from dataclasses import dataclass

#: Rows in a shard, where the caller leaves the choice to us: fewer cost too much bookkeeping, more too much of a retry.
FEWEST, MOST = 4096, 65_536
#: Shards aimed at between those bounds, so that some devices can share a job and its progress is seen.
WANTED = 8


@dataclass(frozen=True)
class Segment:
    """A run of a file's rows: those numbered ``start`` to ``stop``, the latter left out."""

    start: int
    stop: int
    #: Of a text file: the first byte of row ``start``, and the bytes from there on. Parquet needs neither.
    offset: int | None = None
    length: int | None = None

    @property
    def rows(self) -> int:
        return self.stop - self.start


def choose_rows_per_shard(rows: int) -> int:
    """Rows in one shard of a file that has ``rows``."""
    return min(max(-(-rows // WANTED), FEWEST), MOST)
