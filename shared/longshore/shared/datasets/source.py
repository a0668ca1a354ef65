"""One way to read rows, whatever they lie in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from longshore.shared.datasets.files import check_size, is_folder
from longshore.shared.datasets.parts import is_glob
from longshore.shared.datasets.segments import Segment
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.specs.jobs import FileInput


class Source(Protocol):
    """A file of rows. Its methods raise DataError when the file cannot be read, or is not what it was.

    May be shared between threads. Keep it as long as segments of its file are read: a segment that follows the one
    before goes on where that stopped.
    """

    @property
    def schema(self) -> pa.Schema:
        """The columns. Of a text file, as its first block suggests them."""
        ...

    @property
    def rows(self) -> int | None:
        """How many; ``None`` where only reading the whole file can tell."""
        ...

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        """The first rows, with every column; at most ``rows``, and of a file without rows none."""
        ...

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        """Cut the file into runs of rows, in order and without gaps; none if it has no rows.

        :param rows_per_shard: rows in each but the last; ``None`` chooses by the file's size and layout.
        """
        ...

    def batches(
        self, segment: Segment, columns: Sequence[str], batch_rows: int, strict: bool = True
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a segment, in order, in batches of at most ``batch_rows`` (and at least 1).

        :param columns: what to read, at least one, in the order wanted.
        :param strict: where a value of a text file does not fit the type of its column, that is an error. If not
            strict, the columns of that batch come as text, in which ``to_matrix`` finds the rows to blame.
        """
        ...


def open_source(data: FileInput, field: str | None = None) -> Source:
    """Look into a file: its footer, or its first block.

    :param field: at submission, the argument that named the file: what is wrong with it is then that argument's fault.
    :raises DataError: the file cannot be read.
    :raises InvalidInput: instead, where ``field`` is given; also for a file without rows.
    """
    try:
        if field is None:
            check_size(data)
        source = _open(data)
    except DataError as error:
        if field is None:
            raise
        raise InvalidInput(field, str(error)) from None
    if field is not None and source.rows == 0:
        from longshore.shared.store.address import public

        raise InvalidInput(field, f"{public(data.uri)} has no rows")
    return source


def settle(data: FileInput, source: Source) -> FileInput:
    """At submission: also say what an archive holds, which only opening it tells."""
    if data.format != "images":
        return data
    from longshore.shared.datasets.images.rows import ImageSource

    return data.model_copy(update={"listing": source.listing}) if isinstance(source, ImageSource) else data


def _open(data: FileInput) -> Source:
    # Each reader's part of Arrow is loaded when it is needed.
    if data.format == "images":
        return _open_images(data)
    if data.listing is not None:
        from longshore.shared.datasets.readers.parquet_parts import ParquetParts

        return ParquetParts(data.uri, data.listing)
    if data.format == "parquet":
        from longshore.shared.datasets.readers.parquet import ParquetSource

        return ParquetSource(data.uri)
    if data.format == "arrow":
        from longshore.shared.datasets.readers.arrow_ipc import ArrowSource

        return ArrowSource(data.uri)
    if data.format in ("npy", "npz"):
        return _open_numpy(data)
    if data.format == "hdf5":
        from longshore.shared.datasets.readers.hdf5 import Hdf5Source

        return Hdf5Source(data.uri)
    if data.format == "csv":
        from longshore.shared.datasets.readers.delimited import open_delimited

        return open_delimited(data.uri)
    from longshore.shared.datasets.readers.json_lines import open_json_lines

    return open_json_lines(data.uri)


def _open_images(data: FileInput) -> Source:
    from longshore.shared.datasets.images.archive import open_archive
    from longshore.shared.datasets.images.folder import open_folder

    together = is_glob(data.uri) or is_folder(data.uri)
    return open_folder(data.uri, data.listing) if together else open_archive(data.uri, data.listing)


def _open_numpy(data: FileInput) -> Source:
    from longshore.shared.datasets.named_arrays import NamedArrays
    from longshore.shared.datasets.readers.numpy_files import open_npy, open_npz

    if data.format == "npz":
        return open_npz(data.uri)
    return open_npy(data.uri) if data.features is None else NamedArrays(open_npy(data.uri), data.features)
