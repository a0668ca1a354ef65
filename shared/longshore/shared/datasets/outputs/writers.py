"""Writing rows to one file, block by block: Parquet or JSON Lines, on this machine or behind a URL."""

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

from longshore.shared.datasets.files import one_line
from longshore.shared.datasets.outputs.json_text import json_texts
from longshore.shared.datasets.outputs.pattern import OutputFormat
from longshore.shared.errors import DataError, LongshoreError, ServiceUnavailable
from longshore.shared.store.address import is_remote, public, without_secrets
from longshore.shared.store.local import sync_folder

#: Rows in a row group of Parquet.
MAX_BATCH_ROWS = 65_536
#: Bytes of rows after which a row group ends all the same: so much is held in memory.
GROUP_BYTES = 128 * 2**20


class RowWriter(Protocol):
    """Takes rows in order. Its methods raise what :func:`writing` says."""

    def write(self, rows: pa.Table) -> None:
        """Write some rows; all calls have the same columns."""
        ...

    def close(self) -> None:
        """End the file, and bring it to the disk or the store."""
        ...


@contextmanager
def writing(uri: str) -> Iterator[None]:
    """Turn what drivers raise into errors that name the file.

    :raises DataError: it may not be written.
    :raises ServiceUnavailable: it cannot be written now.
    """
    try:
        yield
    except LongshoreError:
        raise
    except Exception as error:  # each fsspec driver and Arrow have their own; without their cause, which can hold keys
        said = getattr(error, "strerror", None) or one_line(error)
        reason = f"cannot write {public(uri)}: {without_secrets(said, uri)}"
        if isinstance(error, PermissionError | NotADirectoryError | FileExistsError | ImportError):
            raise DataError(reason) from None
        raise ServiceUnavailable(reason) from None


def open_writer(uri: str, form: OutputFormat) -> RowWriter:
    """A new file, in the place of one that may be there. Its folder must exist."""
    return ParquetWriter(uri) if form == "parquet" else JsonLinesWriter(uri)


class ParquetWriter:
    """Row groups of :data:`MAX_BATCH_ROWS` rows, Snappy, with Arrow's schema."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with writing(uri):
            self._file = _open(uri)
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._bytes = 0

    def write(self, rows: pa.Table) -> None:
        self._waiting.append(rows)
        self._rows += rows.num_rows
        self._bytes += rows.nbytes
        while self._rows >= MAX_BATCH_ROWS:
            self._end_group(MAX_BATCH_ROWS)
        if self._bytes >= GROUP_BYTES:
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
        table = pa.concat_tables(self._waiting)
        rest = table.slice(rows)
        self._waiting = [rest] if rest.num_rows else []
        self._rows, self._bytes = rest.num_rows, rest.nbytes
        with writing(self._uri):
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._file, table.schema)
            self._writer.write_table(table.slice(0, rows), row_group_size=rows)


class JsonLinesWriter:
    """An object a line, UTF-8."""

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

    :raises TypeError: a column's type has no place in JSON.
    """
    texts = json_texts(rows.to_struct_array())
    # The values of a string array lie one after the other: joined to their ends of line, its data is the text itself.
    lines = pc.binary_join_element_wise(texts, pa.scalar("\n", pa.large_string()), pa.scalar("", pa.large_string()))
    _, offsets, data = lines.buffers()
    bounds = memoryview(offsets).cast("q")
    return memoryview(data)[bounds[lines.offset] : bounds[lines.offset + len(lines)]]


def _sync(uri: str) -> None:
    """Bring a local file and its name to the disk. What lies behind a URL is its server's."""
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
    return Path(uri).open("wb")
