"""Many Parquet files as one dataset, whose rows are numbered through."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from longshore.shared.datasets.checks import check_request
from longshore.shared.datasets.file_listing import DatasetFile, digest, list_files
from longshore.shared.datasets.partitions import read_partitions
from longshore.shared.datasets.readers.parquet import ParquetSource
from longshore.shared.datasets.rebatch import rebatch
from longshore.shared.datasets.segments import Segment, cut
from longshore.shared.errors import DataError
from longshore.shared.store.address import public

#: Footers read at a time.
TOGETHER = 8


class ParquetFiles:
    """The Parquet files of a folder or a glob, of which only the footers are read when it is opened.

    :param listing: the digest of the files at submission.
    """

    def __init__(self, uri: str, listing: str) -> None:
        self._uri = uri
        self._parts = list_files(uri)
        if digest(self._parts) != listing:
            raise DataError(f"{public(uri)}: files were added, removed or written again since the job was submitted")
        with ThreadPoolExecutor(TOGETHER) as pool:
            self._sources = list(pool.map(lambda part: ParquetSource(part.uri), self._parts))
        _check_same(self._parts, self._sources)
        own = self._sources[0].schema.remove_metadata()
        self._partitions = read_partitions([part.name for part in self._parts])
        self._own = frozenset(own.names)
        #: A column of the files themselves goes before one of the folders' names.
        added = [field for field in self._partitions.schema if field.name not in self._own]
        self.schema: pa.Schema = pa.schema([*own, *added])
        #: The first row of each file, and the number of rows at the end.
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
        for number in range(bisect_right(self._starts, segment.start) - 1, len(self._sources)):
            begin, end = self._starts[number : number + 2]
            if begin >= segment.stop:
                return
            inner = Segment(max(segment.start - begin, 0), min(segment.stop, end) - begin)
            if inner.rows > 0:
                for batch in self._read(number, inner, columns, batch_rows):
                    yield self._with_partitions(number, batch, columns)

    def _read(self, number: int, segment: Segment, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        # Where only partition columns are wanted, some column must still count the rows.
        own = [column for column in columns if column in self._own] or self._sources[number].schema.names[:1]
        yield from self._sources[number].batches(segment, own, batch_rows)

    def _with_partitions(self, number: int, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.Table:
        arrays = []
        for column in columns:
            if column in self._own:
                arrays.append(batch.column(column))
            else:
                place = self._partitions.schema.get_field_index(column)
                value = pa.scalar(self._partitions.values[number][place], self.schema.field(column).type)
                arrays.append(pa.repeat(value, batch.num_rows))
        return pa.table(arrays, names=list(columns))


def _check_same(parts: Sequence[DatasetFile], sources: Sequence[ParquetSource]) -> None:
    """:raises DataError: a file has other columns than the first. Their order does not matter."""
    first = _columns(sources[0])
    for part, source in zip(parts, sources, strict=True):
        found = _columns(source)
        if found != first:
            name = next(name for name in {**first, **found} if first.get(name) != found.get(name))
            raise DataError(
                f"{public(part.uri)}: column {name!r} is {found.get(name, 'missing')}, "
                f"and {first.get(name, 'missing')} in {public(parts[0].uri)}; all files must have the same columns"
            )


def _columns(source: ParquetSource) -> dict[str, pa.DataType]:
    return {field.name: field.type for field in source.schema}
