"""Reads rows of an Arrow IPC file (also called Feather version 2)."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence

import pyarrow as pa

from longshore.shared.datasets.bounds import check_batch
from longshore.shared.datasets.checks import check_request
from longshore.shared.datasets.columns.plain_types import plain_batch, plain_schema
from longshore.shared.datasets.files import open_arrow, reading
from longshore.shared.datasets.readers.arrow_footer import MAGIC, batch_lengths, expanded_size
from longshore.shared.datasets.rebatch import rebatch
from longshore.shared.datasets.segments import Segment, cut
from longshore.shared.errors import DataError
from longshore.shared.store.address import is_remote, public

#: The first bytes of a Feather version 1 file.
_OLD_FEATHER = b"FEA1"
#: Identifies a batch that was read: its columns, and its index in the file.
_Key = tuple[tuple[str, ...], int]


class ArrowSource:
    """An Arrow IPC file. Opening it reads only the footer and the metadata of the batches.

    The requested columns of a batch are always read for the whole batch.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with reading(uri), open_arrow(uri) as file:
            _check_magic(uri, file)
            with pa.ipc.open_file(file) as reader:
                lengths = batch_lengths(file)
                self.schema: pa.Schema = plain_schema(reader.schema)
                self._is_plain = self.schema == reader.schema
                if len(lengths) != reader.num_record_batches:
                    raise ValueError("its footer is damaged")
            self.schema.names  # noqa: B018 - names are decoded here, which fails if one is not UTF-8
        #: The first row of each batch, followed by the total number of rows.
        self._borders: list[int] = [0, *itertools.accumulate(lengths)]
        #: The batch that was read last: the next segment often starts in it.
        self._last: tuple[_Key, pa.RecordBatch] | None = None

    @property
    def rows(self) -> int:
        return self._borders[-1]

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        names = self.schema.names
        first = self.batches(Segment(0, min(rows, self.rows)), names, rows) if self.rows else iter(())
        return next(first, None) or pa.RecordBatch.from_pylist([], schema=self.schema)

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        return cut(self._borders, rows_per_shard)

    def batches(
        self, segment: Segment, columns: Sequence[str], batch_rows: int, strict: bool = True
    ) -> Iterator[pa.RecordBatch]:
        check_request(self._uri, self.schema, self.rows, segment, columns)
        with reading(self._uri):
            yield from rebatch(self._tables(segment, tuple(columns)), batch_rows)

    def _tables(self, segment: Segment, columns: tuple[str, ...]) -> Iterator[pa.Table]:
        options = pa.ipc.IpcReadOptions(included_fields=sorted(map(self.schema.names.index, columns)))
        first = bisect_right(self._borders, segment.start) - 1
        with open_arrow(self._uri) as file, pa.ipc.open_file(file, options=options) as reader:
            for index in range(first, len(self._borders) - 1):
                begin, end = self._borders[index : index + 2]
                if begin >= segment.stop:
                    return
                batch = self._batch(file, reader, columns, index)
                start = max(segment.start - begin, 0)
                yield pa.Table.from_batches([batch.slice(start, min(segment.stop, end) - begin - start)])

    def _batch(
        self, file: pa.NativeFile, reader: pa.ipc.RecordBatchFileReader, columns: tuple[str, ...], index: int
    ) -> pa.RecordBatch:
        key = columns, index
        last = self._last
        if last is not None and last[0] == key:
            return last[1]
        self._last = None  # free its memory before the next batch is read
        if not is_remote(self._uri):
            check_batch(f"batch {index}", expanded_size(file, index))
        batch = reader.get_batch(index).select(list(columns))
        if batch.num_rows != self._borders[index + 1] - self._borders[index]:
            raise DataError(f"{public(self._uri)}: batch {index} changed its length after the file was opened")
        # Offsets that point outside the buffers would crash the process later.
        batch.validate(full=True)
        batch = batch if self._is_plain else plain_batch(batch)
        self._last = key, batch
        return batch


def _check_magic(uri: str, file: pa.NativeFile) -> None:
    begin = bytes(file.read(len(MAGIC)))
    file.seek(0)
    if begin.startswith(_OLD_FEATHER):
        raise DataError(f"{public(uri)} is a Feather version 1 file; save it as version 2 (Arrow IPC)")
    if begin != MAGIC:
        raise DataError(f"{public(uri)} is not an Arrow IPC file; save an Arrow stream in the file format")
