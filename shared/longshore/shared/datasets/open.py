"""Opening a file, or a folder of files, with the reader for its format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from longshore.shared.datasets.file_listing import is_glob, root_folder
from longshore.shared.datasets.files import check_size, is_folder, is_gone
from longshore.shared.datasets.readers.text import TextSource
from longshore.shared.datasets.source import Source
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError, InvalidInput, ServiceUnavailable
from longshore.shared.specs.jobs import FileInput
from longshore.shared.store.address import is_remote, public


def open_source(data: FileInput, field: str | None = None, uses: ColumnUses | None = None) -> Source:
    """Open a file. This reads its footer or its first block.

    :param field: at submission, the argument that named the file; errors are then reported as invalid input.
    :param uses: what the columns are used for; only text formats need it. Default: nothing in particular.
    :raises DataError: the file cannot be read, and ``field`` is ``None``.
    :raises ServiceUnavailable: its file system or its server cannot be reached at the moment.
    :raises InvalidInput: the file cannot be read or has no rows, and ``field`` is set; names ``field``.
    """
    try:
        if field is None:
            check_size(data)
            _check_mounted(data)
        source = _open(data)
    except DataError as error:
        if field is None:
            raise
        raise InvalidInput(field, str(error)) from None
    if field is not None and source.rows == 0:
        raise InvalidInput(field, f"{public(data.uri)} has no rows")
    return source if uses is None else with_uses(source, uses)


def with_uses(source: Source, uses: ColumnUses) -> Source:
    """The same file, with columns that are read as their uses require. Only text formats depend on them."""
    return replace(source, uses=uses) if isinstance(source, TextSource) else source


def is_text_file(source: Source) -> bool:
    """Whether the file has no types of its own: CSV, JSON Lines, or lines of text."""
    return isinstance(source, TextSource)


def with_listing(data: FileInput, source: Source) -> FileInput:
    """At submission: add the listing digest of an image archive, which is known only once it is open."""
    if data.format != "images":
        return data
    from longshore.shared.datasets.images.rows import ImageSource

    return data.model_copy(update={"listing": source.listing}) if isinstance(source, ImageSource) else data


def notes_of(source: Source) -> tuple[str, ...]:
    """Notes on the files of a source for the owner of a job, such as which were skipped; a sentence each."""
    return getattr(source, "notes", ())


def _open(data: FileInput) -> Source:
    # Import each reader only when it is needed: each loads a different part of Arrow.
    if data.format == "images":
        return _open_images(data)
    if data.format == "txt":
        return _open_texts(data)
    if data.listing is not None:
        from longshore.shared.datasets.readers.parquet_files import ParquetFiles

        return ParquetFiles(data.uri, data.listing)
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


def _check_mounted(data: FileInput) -> None:
    """:raises ServiceUnavailable: the folder of several files, which was there at submission, is missing or empty."""
    if data.listing is None or is_remote(data.uri):
        return
    folder = Path(data.uri if Path(data.uri).is_file() else root_folder(data.uri))
    if is_gone(folder):
        raise ServiceUnavailable(
            f"cannot read {data.uri}: the folder {folder} is missing or empty: mount it, or put its files back"
        )


def _open_images(data: FileInput) -> Source:
    from longshore.shared.datasets.images.archive import open_image_archive
    from longshore.shared.datasets.images.folder import open_image_folder

    if is_glob(data.uri) or is_folder(data.uri):
        return open_image_folder(data.uri, data.listing)
    return open_image_archive(data.uri, data.listing)


def _open_texts(data: FileInput) -> Source:
    from longshore.shared.datasets.readers.plain_text import TextFiles, open_plain_text

    return open_plain_text(data.uri) if data.listing is None else TextFiles(data.uri, data.listing)


def _open_numpy(data: FileInput) -> Source:
    from longshore.shared.datasets.named_arrays import NamedArrays
    from longshore.shared.datasets.readers.numpy_files import open_npy, open_npz

    if data.format == "npz":
        return open_npz(data.uri)
    return open_npy(data.uri) if data.features is None else NamedArrays(open_npy(data.uri), data.features)
