"""Reads the images of a folder or a glob."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import cast

from longshore.shared.datasets.access.local import open_read
from longshore.shared.datasets.access.remote import open_filesystem
from longshore.shared.datasets.file_listing import IMAGES, list_all
from longshore.shared.datasets.files import reading
from longshore.shared.datasets.images.rows import ImageFile, ImageSource, Reader
from longshore.shared.errors import DataError
from longshore.shared.store.address import is_remote, public

#: How many files are read at a time: for remote files, each is a separate request.
MAX_CONCURRENT_READS = 8
#: How many files a thread reads at a time.
_STEP = 16


def open_image_folder(uri: str, listing: str | None) -> ImageSource:
    """Open a folder or a glob: lists its images, and reads none.

    :param listing: the digest of the file listing at submission; ``None`` if it is not known yet.
    :raises DataError: there are no images, or different ones than at submission.
    """
    listed = list_all(uri, IMAGES)
    members = [ImageFile(file.name, file.uri, file.size) for file in listed.files]
    return ImageSource(uri, members, _reader, listing, listed.skipped)


@contextmanager
def _reader() -> Iterator[Reader]:
    with ThreadPoolExecutor(MAX_CONCURRENT_READS) as pool:

        def read(members: Sequence[ImageFile]) -> list[bytes]:
            chunks = [members[start : start + _STEP] for start in range(0, len(members), _STEP)]
            return [content for contents in pool.map(_read_some, chunks) for content in contents]

        yield read


def _read_some(members: Sequence[ImageFile]) -> list[bytes]:
    return [_read(member) for member in members]


def _read(member: ImageFile) -> bytes:
    """:raises DataError: the file has a different size than when it was listed."""
    uri = str(member.location)
    with reading(uri):
        content = _remote(uri, member.size) if is_remote(uri) else _local(uri, member.size)
    if len(content) != member.size:
        raise DataError(f"{public(uri)} has a different size than when the folder was listed: it was rewritten")
    return content


def _local(uri: str, size: int) -> bytes:
    with open_read(uri) as raw, io.BufferedReader(cast(io.RawIOBase, raw)) as file:
        return file.read(size + 1)


def _remote(uri: str, size: int) -> bytes:
    if not size:  # servers reject an empty range
        return b""
    filesystem, path = open_filesystem(uri)
    return bytes(filesystem.cat_file(path, start=0, end=size + 1))
