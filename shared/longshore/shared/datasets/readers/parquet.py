"""Reads rows of a Parquet file."""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from longshore.shared.datasets.checks import check_request
from longshore.shared.datasets.columns.plain_types import plain_batch, plain_schema
from longshore.shared.datasets.files import open_arrow, reading
from longshore.shared.datasets.readers.parquet_footer import check_sizes
from longshore.shared.datasets.segments import Segment, cut
from longshore.shared.errors import DataError
from longshore.shared.store.address import is_remote, public

#: How much of a column is read at a time. Without this, a whole column of a row group is in memory, however large.
BUFFER_BYTES = 4 << 20
#: The columns and the batch size of a reader.
_Key = tuple[tuple[str, ...], int]


class ParquetSource:
    """A Parquet file. Opening it reads only the footer."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with reading(uri), open_arrow(uri) as file:
            parquet = pq.ParquetFile(file)
            self._metadata = parquet.metadata
            check_sizes(self._metadata, file.size(), BUFFER_BYTES)
            self.schema: pa.Schema = plain_schema(parquet.schema_arrow)
            self._is_plain = self.schema == parquet.schema_arrow
        groups = range(self._metadata.num_row_groups)
        sizes = (self._metadata.row_group(group).num_rows for group in groups)
        #: The first row of each row group, followed by the total number of rows.
        self.borders: list[int] = [0, *itertools.accumulate(sizes)]
        self._parked: tuple[_Key, _Reader] | None = None
        self._lock = threading.Lock()

    @property
    def rows(self) -> int:
        return self.borders[-1]

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        names = self.schema.names
        first = self.batches(Segment(0, min(rows, self.rows)), names, rows) if self.rows else iter(())
        return next(first, None) or pa.RecordBatch.from_pylist([], schema=self.schema)

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        return cut(self.borders, rows_per_shard)

    def batches(
        self, segment: Segment, columns: Sequence[str], batch_rows: int, strict: bool = True
    ) -> Iterator[pa.RecordBatch]:
        check_request(self._uri, self.schema, self.rows, segment, columns)
        key = tuple(columns), batch_rows
        with reading(self._uri):
            reader = self._resume(key, segment) or self._reader(segment, columns, batch_rows)
            for batch in reader.read(segment.start, segment.stop):
                yield batch if self._is_plain else plain_batch(batch)
        if reader.position < reader.stop:  # otherwise no rows are left to continue with: let the file close
            with self._lock:
                self._parked = key, reader

    def _resume(self, key: _Key, segment: Segment) -> _Reader | None:
        """The reader of the previous segment, if it can continue: a new one decodes a row group from its start."""
        with self._lock:
            if self._parked is None or self._parked[0] != key:
                return None
            reader = self._parked[1]
            if not (reader.position <= segment.start and segment.stop <= reader.stop):
                return None
            self._parked = None
            return reader

    def _reader(self, segment: Segment, columns: Sequence[str], batch_rows: int) -> _Reader:
        first = bisect_right(self.borders, segment.start) - 1
        last = bisect_right(self.borders, segment.stop - 1)
        # Prefetch remote files with few requests; read local files on demand.
        remote = is_remote(self._uri)
        file = pq.ParquetFile(
            open_arrow(self._uri),
            metadata=self._metadata,
            pre_buffer=remote,
            buffer_size=0 if remote else BUFFER_BYTES,
            page_checksum_verification=True,
        )
        batches = file.iter_batches(batch_rows, row_groups=range(first, last), columns=list(columns))
        return _Reader(public(self._uri), batches, columns, self.borders[first], self.borders[last])


class _Reader:
    """Reads a range of row groups once, and can pause in between."""

    def __init__(
        self, name: str, batches: Iterator[pa.RecordBatch], columns: Sequence[str], start: int, stop: int
    ) -> None:
        self._name = name
        self._batches = batches
        self._columns = list(columns)
        self._rest: pa.RecordBatch | None = None
        #: The next row.
        self.position = start
        #: The row after the last one that it can read.
        self.stop = stop

    def read(self, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        while self.position < stop:
            batch = next(self._batches, None) if self._rest is None else self._rest
            if batch is None:
                raise DataError(f"{self._name}: its rows end at {self.position}, but its footer says {self.stop}")
            begin = min(max(start - self.position, 0), batch.num_rows)
            end = min(stop - self.position, batch.num_rows)
            self._rest = batch.slice(end) if end < batch.num_rows else None
            self.position += end
            if begin < end:
                # Parquet matches columns by path prefix, so that more columns than requested can be returned.
                yield batch.slice(begin, end - begin).select(self._columns)
