"""Reads several Parquet files as one dataset with continuous row numbers."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from longshore.shared.datasets.checks import check_request
from longshore.shared.datasets.file_listing import DatasetFile, list_files, listing_digest
from longshore.shared.datasets.index_columns import keep_index
from longshore.shared.datasets.partitions import read_partitions
from longshore.shared.datasets.readers.parquet import ParquetSource
from longshore.shared.datasets.rebatch import rebatch
from longshore.shared.datasets.segments import Segment, cut
from longshore.shared.errors import DataError
from longshore.shared.store.address import public

#: How many footers are read at a time.
MAX_CONCURRENT_READS = 8


class ParquetFiles:
    """The Parquet files of a folder or a glob. Opening it reads only the footers.

    :param listing: the digest of the file listing at submission.
    :raises DataError: the listing has changed, or the files do not have the same columns.
    """

    def __init__(self, uri: str, listing: str) -> None:
        self._uri = uri
        files = list_files(uri)
        if listing_digest(files) != listing:
            raise DataError(f"{public(uri)}: files were added, removed or rewritten after the job was submitted")
        with ThreadPoolExecutor(MAX_CONCURRENT_READS) as pool:
            self._sources = list(pool.map(lambda file: ParquetSource(file.uri), files))
        _check_same(files, self._sources)
        schema = keep_index(self._sources[0].schema)
        self._partitions = read_partitions([file.name for file in files])
        self._file_columns = frozenset(schema.names)
        #: A column in the files takes precedence over a partition column of the same name.
        added = [field for field in self._partitions.schema if field.name not in self._file_columns]
        self.schema: pa.Schema = pa.schema([*schema, *added], metadata=schema.metadata)
        #: The first row of each file, followed by the total number of rows.
        self._starts: list[int] = [0, *itertools.accumulate(source.rows for source in self._sources)]

    @property
    def rows(self) -> int:
        return self._starts[-1]

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        segment = Segment(0, min(rows, self.rows))
        first = next(self.batches(segment, self.schema.names, rows), None)
        return first or pa.RecordBatch.from_pylist([], schema=self.schema)

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        inner = [
            start + border
            for start, source in zip(self._starts, self._sources, strict=False)
            for border in source.borders[:-1]
        ]
        return cut([*inner, self.rows] if inner else [0], rows_per_shard)

    def batches(
        self, segment: Segment, columns: Sequence[str], batch_rows: int, strict: bool = True
    ) -> Iterator[pa.RecordBatch]:
        check_request(self._uri, self.schema, self.rows, segment, columns)
        yield from rebatch(self._tables(segment, columns, batch_rows), batch_rows)

    def _tables(self, segment: Segment, columns: Sequence[str], batch_rows: int) -> Iterator[pa.Table]:
        for index in range(bisect_right(self._starts, segment.start) - 1, len(self._sources)):
            begin, end = self._starts[index : index + 2]
            if begin >= segment.stop:
                return
            inner = Segment(max(segment.start - begin, 0), min(segment.stop, end) - begin)
            if inner.rows > 0:
                for batch in self._read(index, inner, columns, batch_rows):
                    yield self._with_partitions(index, batch, columns)

    def _read(self, index: int, segment: Segment, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        # If only partition columns are requested, read one column of the file to count its rows.
        names = [column for column in columns if column in self._file_columns] or self._sources[index].schema.names[:1]
        yield from self._sources[index].batches(segment, names, batch_rows)

    def _with_partitions(self, index: int, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.Table:
        arrays = []
        for column in columns:
            if column in self._file_columns:
                arrays.append(batch.column(column))
            else:
                position = self._partitions.schema.get_field_index(column)
                value = pa.scalar(self._partitions.values[index][position], self.schema.field(column).type)
                arrays.append(pa.repeat(value, batch.num_rows))
        return pa.table(arrays, names=list(columns))


def _check_same(files: Sequence[DatasetFile], sources: Sequence[ParquetSource]) -> None:
    """Check that all files have the same columns, in any order.

    :raises DataError: a file has different columns from the first.
    """
    first = _columns(sources[0])
    for file, source in zip(files, sources, strict=True):
        columns = _columns(source)
        if columns != first:
            name = next(name for name in {**first, **columns} if first.get(name) != columns.get(name))
            raise DataError(
                f"{public(file.uri)}: column {name!r} is {columns.get(name, 'missing')}, "
                f"and {first.get(name, 'missing')} in {public(files[0].uri)}; all files must have the same columns"
            )


def _columns(source: ParquetSource) -> dict[str, pa.DataType]:
    return {field.name: field.type for field in source.schema}
