"""Rows of an Arrow IPC file (also called Feather, version 2)."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence

import pyarrow as pa

from longshore.shared.datasets.checks import check_request
from longshore.shared.datasets.files import open_arrow, reading
from longshore.shared.datasets.readers.arrow_footer import MAGIC, batch_lengths
from longshore.shared.datasets.rebatch import rebatch
from longshore.shared.datasets.segments import Segment, cut
from longshore.shared.errors import DataError
from longshore.shared.store.address import public

#: How Feather files of version 1 begin.
_OLD_FEATHER = b"FEA1"
#: Some columns of one batch, as it was read: the columns, and the number of the batch.
_Key = tuple[tuple[str, ...], int]


class ArrowSource:
    """An Arrow IPC file, of which only the footer and the heads of its batches are read when it is opened.

    Of a batch, the columns that are asked for are read whole.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with reading(uri), open_arrow(uri) as file:
            _check_magic(uri, file)
            with pa.ipc.open_file(file) as reader:
                lengths = batch_lengths(file)
                self.schema: pa.Schema = reader.schema
                if len(lengths) != reader.num_record_batches:
                    raise ValueError("its footer is damaged")
            self.schema.names  # noqa: B018 - a name that is no UTF-8 is found when it is read
        #: The first row of each batch, and the number of rows at the end.
        self._borders: list[int] = [0, *itertools.accumulate(lengths)]
        #: The batch that was read last: the next segment often begins in it.
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
        wanted = pa.ipc.IpcReadOptions(included_fields=sorted(map(self.schema.names.index, columns)))
        first = bisect_right(self._borders, segment.start) - 1
        with open_arrow(self._uri) as file, pa.ipc.open_file(file, options=wanted) as reader:
            for number in range(first, len(self._borders) - 1):
                begin, end = self._borders[number : number + 2]
                if begin >= segment.stop:
                    return
                batch = self._batch(reader, columns, number)
                start = max(segment.start - begin, 0)
                yield pa.Table.from_batches([batch.slice(start, min(segment.stop, end) - begin - start)])

    def _batch(self, reader: pa.ipc.RecordBatchFileReader, columns: tuple[str, ...], number: int) -> pa.RecordBatch:
        key = columns, number
        last = self._last
        if last is not None and last[0] == key:
            return last[1]
        self._last = None  # before the next one takes as much memory
        batch = reader.get_batch(number).select(list(columns))
        if batch.num_rows != self._borders[number + 1] - self._borders[number]:
            raise DataError(f"{public(self._uri)}: batch {number} is not as long as it was when the file was opened")
        # Offsets that lead out of the buffers would end the process later on.
        batch.validate(full=True)
        self._last = key, batch
        return batch


def _check_magic(uri: str, file: pa.NativeFile) -> None:
    begin = bytes(file.read(len(MAGIC)))
    file.seek(0)
    if begin.startswith(_OLD_FEATHER):
        raise DataError(f"{public(uri)} is a Feather file of version 1; write it again as version 2 (Arrow IPC)")
    if begin != MAGIC:
        raise DataError(f"{public(uri)} is no Arrow IPC file; an Arrow stream must be written again in the file format")
