"""Reads rows of an HDF5 file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from longshore.shared.datasets.bounds import rows_at_once
from longshore.shared.datasets.checks import check_request
from longshore.shared.datasets.files import open_bytes, reading
from longshore.shared.datasets.readers.hdf5_heaps import CheckedFile
from longshore.shared.datasets.segments import Segment, cut
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.store.address import is_remote, public

if TYPE_CHECKING:
    from longshore.shared.datasets.readers.hdf5_columns import Hdf5Column


class Hdf5Source:
    """An HDF5 file; each dataset is a column, its first axis the rows. Opening it reads only shapes and types.

    :raises InvalidInput: the package h5py is not installed.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with reading(uri), _open(uri) as columns:
            self.rows = next(iter(columns.values())).rows
            self.schema: pa.Schema = _schema(columns)

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        segment = Segment(0, min(rows, self.rows))
        first = next(self.batches(segment, self.schema.names, rows), None)
        return first or pa.RecordBatch.from_pylist([], schema=self.schema)

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        return cut([0, self.rows], rows_per_shard)

    def batches(
        self, segment: Segment, columns: Sequence[str], batch_rows: int, strict: bool = True
    ) -> Iterator[pa.RecordBatch]:
        check_request(self._uri, self.schema, self.rows, segment, columns)
        size = self._size()
        with reading(self._uri), _open(self._uri) as datasets:
            if _schema(datasets) != self.schema or next(iter(datasets.values())).rows != self.rows:
                raise DataError(f"{public(self._uri)} was replaced while it was read")
            step = rows_at_once(batch_rows, sum(datasets[name].row_bytes for name in columns))
            for start in range(segment.start, segment.stop, step):
                stop = min(start + step, segment.stop)
                arrays = [datasets[name].read(start, stop) for name in columns]
                # If a file is cut off, HDF5 silently returns zeros.
                if self._size() < size:
                    raise DataError(f"{public(self._uri)} was shortened while it was read")
                yield pa.RecordBatch.from_arrays(arrays, names=list(columns))

    def _size(self) -> int:
        if is_remote(self._uri):
            return 0
        with reading(self._uri):
            return Path(self._uri).stat().st_size


def _schema(columns: dict[str, Hdf5Column]) -> pa.Schema:
    return pa.schema([(name, column.type) for name, column in columns.items()])


@contextmanager
def _open(uri: str) -> Iterator[dict[str, Hdf5Column]]:
    try:
        import h5py
    except ImportError:
        raise InvalidInput("format", "hdf5 needs the package h5py: pip install 'longshore[hdf5]'") from None
    from longshore.shared.datasets.readers.hdf5_columns import find_columns

    with ExitStack() as stack:
        file = stack.enter_context(open_bytes(uri))
        # No locking: the file is not being written, and many network file systems cannot lock.
        opened = stack.enter_context(h5py.File(CheckedFile(file), "r", locking=False))
        yield {column.name: column for column in find_columns(opened)}
