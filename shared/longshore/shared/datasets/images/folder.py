"""The images of a folder or a glob."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import fsspec.core

from longshore.shared.datasets.file_listing import IMAGES, list_files
from longshore.shared.datasets.files import reading
from longshore.shared.datasets.images.rows import ImageSource, Member, Reader
from longshore.shared.errors import DataError
from longshore.shared.store.address import is_remote, public

#: Files read at a time: each is a request of its own where they are far away.
TOGETHER = 8
#: Files that a thread takes at a time.
_STEP = 16


def open_image_folder(uri: str, listing: str | None) -> ImageSource:
    """:raises DataError: there are no images, or others than at submission."""
    members = [Member(part.name, part.uri, part.size) for part in list_files(uri, IMAGES)]
    return ImageSource(uri, members, _reader, listing)


@contextmanager
def _reader() -> Iterator[Reader]:
    with ThreadPoolExecutor(TOGETHER) as pool:

        def read(members: Sequence[Member]) -> list[bytes]:
            parts = [members[start : start + _STEP] for start in range(0, len(members), _STEP)]
            return [content for part in pool.map(_read_some, parts) for content in part]

        yield read


def _read_some(members: Sequence[Member]) -> list[bytes]:
    return [_read(member) for member in members]


def _read(member: Member) -> bytes:
    """:raises DataError: the file is not as long as it was when it was listed."""
    uri = str(member.place)
    with reading(uri):
        content = _remote(uri, member.size) if is_remote(uri) else _local(uri, member.size)
    if len(content) != member.size:
        raise DataError(f"{public(uri)} is not as long as it was when the folder was listed: it was written again")
    return content


def _local(uri: str, size: int) -> bytes:
    with Path(uri).open("rb") as file:
        return file.read(size + 1)


def _remote(uri: str, size: int) -> bytes:
    if not size:  # servers refuse a range of nothing
        return b""
    files, path = fsspec.core.url_to_fs(uri)
    return bytes(files.cat_file(path, start=0, end=size + 1))
