"""Writes rows to a Parquet or JSON Lines file, local or remote, block by block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import fsspec.core
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longshore.shared.datasets.access.local import open_write
from longshore.shared.datasets.files import one_line
from longshore.shared.datasets.outputs.json_text import json_texts
from longshore.shared.datasets.outputs.pattern import OutputFormat
from longshore.shared.errors import DataError, LongshoreError, ServiceUnavailable
from longshore.shared.outages import is_outage
from longshore.shared.store.address import is_remote, public, without_secrets
from longshore.shared.store.local import sync_folder

#: Rows in a Parquet row group.
ROW_GROUP_ROWS = 65_536
#: A row group also ends after this much data, because it is buffered in memory.
ROW_GROUP_BYTES = 128 * 2**20


class RowWriter(Protocol):
    """Writes rows in order. Methods raise the errors of :func:`writing`."""

    def write(self, rows: pa.Table) -> None:
        """Write rows; every call must have the same columns."""
        ...

    def close(self) -> None:
        """Finish the file, and sync it to disk or upload it."""
        ...


@contextmanager
def writing(uri: str) -> Iterator[None]:
    """Convert the errors of drivers into errors that name the file.

    :raises DataError: writing is not permitted or not possible.
    :raises ServiceUnavailable: the file cannot be written at the moment.
    """
    try:
        yield
    except LongshoreError:
        raise
    except Exception as error:  # fsspec drivers and Arrow have their own classes; drop the cause, it can contain keys
        reason = getattr(error, "strerror", None) or one_line(error)
        message = f"cannot write {public(uri)}: {without_secrets(reason, uri)}"
        # A local folder can vanish with its file system, a bucket cannot; any other error that is no outage would come
        # again.
        if is_outage(error) or (isinstance(error, FileNotFoundError) and not is_remote(uri)):
            raise ServiceUnavailable(message) from None
        raise DataError(message) from None


def open_writer(uri: str, format: OutputFormat) -> RowWriter:
    """Create a file, replacing an existing one. Its folder must exist."""
    return ParquetWriter(uri) if format == "parquet" else JsonLinesWriter(uri)


class ParquetWriter:
    """Parquet with Snappy compression, Arrow's schema and row groups of :data:`ROW_GROUP_ROWS` rows."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with writing(uri):
            self._file = _open(uri)
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.Table] = []
        self._rows = 0
        self._bytes = 0

    def write(self, rows: pa.Table) -> None:
        self._pending.append(rows)
        self._rows += rows.num_rows
        self._bytes += rows.nbytes
        while self._rows >= ROW_GROUP_ROWS:
            self._end_group(ROW_GROUP_ROWS)
        if self._bytes >= ROW_GROUP_BYTES:
            self._end_group(self._rows)

    def close(self) -> None:
        with writing(self._uri):
            try:
                if self._rows:
                    self._end_group(self._rows)
                if self._writer is not None:
                    self._writer.close()
            finally:
                self._file.close()
            _sync(self._uri)

    def _end_group(self, rows: int) -> None:
        table = pa.concat_tables(self._pending)
        rest = table.slice(rows)
        self._pending = [rest] if rest.num_rows else []
        self._rows, self._bytes = rest.num_rows, rest.nbytes
        with writing(self._uri):
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._file, table.schema)
            self._writer.write_table(table.slice(0, rows), row_group_size=rows)


class JsonLinesWriter:
    """JSON Lines: one object per line, UTF-8."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with writing(uri):
            self._file = _open(uri)

    def write(self, rows: pa.Table) -> None:
        with writing(self._uri):
            for batch in rows.to_batches():
                self._file.write(to_json_lines(batch))

    def close(self) -> None:
        with writing(self._uri):
            self._file.close()
            _sync(self._uri)


def to_json_lines(rows: pa.RecordBatch) -> memoryview:
    """Rows as JSON Lines.

    :raises TypeError: the type of a column cannot be written as JSON.
    """
    texts = json_texts(rows.to_struct_array())
    # The values of a string array are contiguous in memory: with line ends appended, its buffer is the text itself.
    lines = pc.binary_join_element_wise(texts, pa.scalar("\n", pa.large_string()), pa.scalar("", pa.large_string()))
    _, offsets, data = lines.buffers()
    bounds = memoryview(offsets).cast("q")
    return memoryview(data)[bounds[lines.offset] : bounds[lines.offset + len(lines)]]


def _sync(uri: str) -> None:
    """Sync a local file and its directory entry to disk. For a URL, durability is up to the server."""
    if is_remote(uri):
        return
    descriptor = os.open(uri, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(Path(uri).parent)


def _open(uri: str) -> BinaryIO:
    if is_remote(uri):
        return cast(BinaryIO, fsspec.core.url_to_fs(uri)[0].open(uri, "wb"))
    return open_write(uri)
