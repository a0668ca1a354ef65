"""The interface through which rows are read, whatever the file format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from longshore.shared.datasets.segments import Segment


class Source(Protocol):
    """Rows of a file, or of several files. Methods raise DataError if a file cannot be read, or has changed.

    May be shared between threads. Keep the instance while segments of its file are read: reading a segment can
    continue where the segment before it ended.
    """

    @property
    def schema(self) -> pa.Schema:
        """The columns. For a text file, the types are inferred from its first block."""
        ...

    @property
    def rows(self) -> int | None:
        """The number of rows; ``None`` if only reading the whole file can tell."""
        ...

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        """The first rows, at most ``rows`` of them, with every column; an empty batch if the file has no rows."""
        ...

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        """Split the file into consecutive segments without gaps; an empty list if it has no rows.

        :param rows_per_shard: rows in each segment but the last; ``None`` chooses by the file's size and layout.
        """
        ...

    def batches(
        self, segment: Segment, columns: Sequence[str], batch_rows: int, strict: bool = True
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a segment, in order, in batches of 1 to ``batch_rows`` rows.

        :param columns: the columns to read, at least one, in the order of the result.
        :param strict: raise DataError if a value in a text file does not fit the type of its column. If false, the
            columns of that batch are returned as text, in which ``to_matrix`` finds the bad rows. Default: true.
        """
        ...
