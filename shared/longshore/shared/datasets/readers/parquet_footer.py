"""Checks what the footer of a Parquet file says of its lists, before a row is read.

A page of a few bytes can hold any number of values.
"""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from longshore.shared.datasets import bounds
from longshore.shared.datasets.bounds import check_row

#: Bytes that a value takes in memory, by its physical type; for others, at least one.
_WIDTHS = {"INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8}


class _NotRead(Exception):
    """Arrow wants to read rows, so it has accepted the footer."""


class _NoRows(io.RawIOBase):
    """A file of which only the footer and the size are known."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset if whence == io.SEEK_SET else self._size + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        raise _NotRead


def check_sizes(metadata: pq.FileMetaData, size: int, buffer_size: int) -> None:
    """Check that no row is too large.

    :param size: of the file, in bytes.
    :param buffer_size: how much of a column is read at a time, in bytes.
    :raises ValueError: the rows of a column are too large.
    :raises OSError: the footer is damaged.
    """
    if metadata.num_columns > bounds.MAX_COLUMNS:
        raise ValueError(f"it has {metadata.num_columns:,} columns, and at most {bounds.MAX_COLUMNS:,} are read")
    lists = [index for index in range(metadata.num_columns) if metadata.schema.column(index).max_repetition_level]
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        # The mean: at least one row has as much.
        check_row(f"row group {number}", group.total_byte_size / max(group.num_rows, 1))
        if lists:
            _check_chunks(metadata, number, lists, _NoRows(size), buffer_size)
        for chunk in map(group.column, lists):
            taken = chunk.num_values * _WIDTHS.get(chunk.physical_type, 1)
            check_row(f"column {chunk.path_in_schema!r}", taken / max(group.num_rows, 1))


def _check_chunks(metadata: pq.FileMetaData, group: int, columns: list[int], rows: _NoRows, buffer_size: int) -> None:
    """Let Arrow begin to read, and stop it before the first byte of a row: there it refuses what is damaged.

    ``RowGroupMetaData.column`` ends the process instead, for pyarrow does not catch what Arrow throws (seen in 26.0).
    """
    paths = [metadata.schema.column(index).path for index in columns]
    with pa.PythonFile(rows, mode="r") as file:
        parquet = pq.ParquetFile(file, metadata=metadata, buffer_size=buffer_size)
        try:
            next(parquet.iter_batches(1, row_groups=[group], columns=paths, use_threads=False), None)
        except _NotRead:
            return
