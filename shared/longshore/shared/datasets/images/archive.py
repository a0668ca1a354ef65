"""The images of a tar archive, plain or compressed with gzip; nothing is unpacked."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import PurePosixPath
from typing import IO, BinaryIO, cast

from longshore.shared.datasets.file_listing import IMAGES
from longshore.shared.datasets.files import open_bytes, reading
from longshore.shared.datasets.images.rows import ImageSource, Member, Reader
from longshore.shared.errors import DataError
from longshore.shared.store.address import public

_GZIP = b"\x1f\x8b"
#: Bytes that are passed over at a time, and the most that a header may ask for.
_STEP = 1 << 20
#: Characters of a name that surely stands in the header itself, which has room for 100.
_SHORT = 64


def open_image_archive(uri: str, listing: str | None) -> ImageSource:
    """Go once through an archive for what lies where in it: of a plain one, only the headers are read.

    :raises DataError: it is damaged, holds no images, or others than at submission.
    """
    with reading(uri), _opened(uri) as file:
        # As when it is unpacked, of two members with one name the last counts.
        found = {member.name: member for member in _scan(file)}
    if not found:
        raise DataError(f"{public(uri)} holds no images")
    members = sorted(found.values(), key=lambda member: member.name.split("/"))
    return ImageSource(uri, members, partial(_reader, uri), listing)


def _scan(file: BinaryIO) -> Iterator[Member]:
    with tarfile.open(fileobj=cast(IO[bytes], _Limited(file)), mode="r:") as archive:
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # else it remembers all of them
            path = _path(info)
            hidden = any(step.startswith(".") for step in path.split("/"))
            if info.isreg() and not info.issparse() and path.lower().endswith(IMAGES) and not hidden:
                yield Member(path, info.offset_data, info.size)
        end = archive.offset
    # tarfile takes a damaged header for the end; the end is a block of zeros.
    file.seek(end)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise ValueError(f"the archive is cut off or damaged at byte {end}")
    while file.read(_STEP):  # to the checksum of a compressed one
        pass


def _path(info: tarfile.TarInfo) -> str:
    return "/".join(step for step in PurePosixPath(info.name).parts if step not in ("/", "."))


@contextmanager
def _reader(uri: str) -> Iterator[Reader]:
    with _opened(uri) as file:

        def read(members: Sequence[Member]) -> list[bytes]:
            # In the order in which they lie: a compressed file can only be read forwards.
            found = {member.name: _read(file, member) for member in sorted(members, key=lambda member: member.place)}
            return [found[member.name] for member in members]

        yield read


def _read(file: BinaryIO, member: Member) -> bytes:
    """:raises ValueError: the member does not lie there any more."""
    file.seek(int(member.place) - tarfile.BLOCKSIZE)
    left, parts = tarfile.BLOCKSIZE + member.size, []
    while left and (part := file.read(left)):
        parts.append(part)
        left -= len(part)
    content = b"".join(parts)
    if left or not _begins_with(content, member):
        raise ValueError("the archive was written again since it was opened")
    return content[tarfile.BLOCKSIZE :]


def _begins_with(content: bytes, member: Member) -> bool:
    """Whether the header of a member comes first."""
    try:
        info = tarfile.TarInfo.frombuf(content[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    # Other names stand in a header before this one.
    named = _path(info) == member.name or len(member.name) > _SHORT or not member.name.isascii()
    return info.size == member.size and named


@contextmanager
def _opened(uri: str) -> Iterator[BinaryIO]:
    """What is in the archive, uncompressed. Moving backwards in a compressed one begins it again."""
    with open_bytes(uri) as raw:
        compressed = raw.read(len(_GZIP)) == _GZIP
        raw.seek(0)
        if not compressed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw, mode="rb") as file:
            yield cast(BinaryIO, file)


class _Limited:
    """A file of which no header can have more read than is reasonable, however much it claims."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _STEP:
            raise ValueError(f"a header of {size} bytes")
        return self._file.read(size)
