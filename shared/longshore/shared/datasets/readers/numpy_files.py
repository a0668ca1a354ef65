"""Reads rows of NumPy files: one array (``.npy``), or an archive of arrays of equal length (``.npz``)."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

import pyarrow as pa

from longshore.shared.datasets.bounds import rows_at_once
from longshore.shared.datasets.checks import check_request
from longshore.shared.datasets.columns.arrays import FEATURES, array_column
from longshore.shared.datasets.files import open_arrow, open_bytes, reading
from longshore.shared.datasets.readers.array_files import ArrayHeader, Readable, read_header, read_rows
from longshore.shared.datasets.segments import Segment, cut
from longshore.shared.errors import DataError
from longshore.shared.store.address import public

_MEMBER = ".npy"

#: Opens the files of the named columns, in that order.
Opener = Callable[[Sequence[str]], AbstractContextManager[list[Readable]]]


class ArraySource:
    """Arrays whose first axis is the rows; each array is a column. Opening it reads only the headers."""

    def __init__(self, uri: str, headers: Mapping[str, ArrayHeader], open_columns: Opener) -> None:
        self._uri = uri
        self._headers = headers
        self._open = open_columns
        self.rows = next(iter(headers.values())).rows
        self.schema: pa.Schema = pa.schema([(name, header.type) for name, header in headers.items()])

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
        with reading(self._uri), self._open(columns) as files:
            step = rows_at_once(batch_rows, sum(self._headers[name].row_bytes for name in columns))
            for start in range(segment.start, segment.stop, step):
                stop = min(start + step, segment.stop)
                arrays = [
                    array_column(read_rows(file, self._headers[name], start, stop))
                    for name, file in zip(columns, files, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(arrays, names=list(columns))


def open_npy(uri: str) -> ArraySource:
    """Open an array as one column, called ``features``.

    :raises DataError: the file cannot be read, or is not an array of numbers.
    """
    with reading(uri), open_arrow(uri) as file:
        header = read_header(file, file.size())
    return ArraySource(uri, {FEATURES: header}, partial(_open_array, uri))


def open_npz(uri: str) -> ArraySource:
    """Open an archive with one column for each array.

    :raises DataError: the file cannot be read, or its members are not arrays of numbers of equal length.
    """
    headers: dict[str, ArrayHeader] = {}
    with reading(uri), open_bytes(uri) as file, zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(_MEMBER)
            if name == member.filename or name in headers:
                reason = "not an array" if name == member.filename else "in it twice"
                raise DataError(f"{public(uri)}: {member.filename!r} is {reason}")
            with archive.open(member) as content:
                headers[name] = _member_header(uri, name, content, member.file_size)
    if not headers:
        raise DataError(f"{public(uri)} has no arrays")
    lengths = {name: header.rows for name, header in headers.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name!r} {rows}" for name, rows in lengths.items())
        raise DataError(f"{public(uri)} has arrays of different lengths: {listed}")
    return ArraySource(uri, headers, partial(_open_members, uri))


def _member_header(uri: str, name: str, content: Readable, size: int) -> ArrayHeader:
    try:
        return read_header(content, size)
    except ValueError as error:
        raise DataError(f"cannot read {public(uri)}: array {name!r}: {error}") from None


@contextmanager
def _open_array(uri: str, columns: Sequence[str]) -> Iterator[list[Readable]]:
    with open_arrow(uri) as file:
        yield [file] * len(columns)


@contextmanager
def _open_members(uri: str, columns: Sequence[str]) -> Iterator[list[Readable]]:
    with ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(open_bytes(uri))))
        yield [stack.enter_context(archive.open(name + _MEMBER)) for name in columns]
