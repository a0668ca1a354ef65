"""Reads the images of a tar archive, plain or compressed with gzip, without unpacking it."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import PurePosixPath
from typing import IO, BinaryIO, cast

from longshore.shared.datasets import bounds
from longshore.shared.datasets.file_listing import IMAGES, describe_skipped
from longshore.shared.datasets.files import open_bytes, reading
from longshore.shared.datasets.images.rows import ImageFile, ImageSource, Reader
from longshore.shared.datasets.readers.lines import read_fully
from longshore.shared.errors import DataError
from longshore.shared.store.address import public

_GZIP = b"\x1f\x8b"
#: How much is skipped at a time; also the largest header that is read.
_STEP_BYTES = 1 << 20
#: Names of up to this many characters are always in the header itself, which has space for 100.
_SHORT_NAME = 64


def open_image_archive(uri: str, listing: str | None) -> ImageSource:
    """Open an archive: one pass over it finds the offset of every image. Of a plain archive only headers are read.

    :param listing: the digest of the file listing at submission; ``None`` if it is not known yet.
    :raises DataError: the archive is damaged, has no images, or different ones than at submission.
    """
    with reading(uri), _opened(uri) as file:
        # If two members have the same name, the last one counts, as in unpacking.
        members_by_name: dict[str, ImageFile] = {}
        for member in _scan(file):
            members_by_name[member.name] = member
            if len(members_by_name) > bounds.MAX_MEMBERS:
                raise ValueError(
                    f"it has more than {bounds.MAX_MEMBERS:,} files, the most that an archive may have; split it"
                )
    visible = sorted(members_by_name.values(), key=lambda member: member.name.split("/"))
    members = [member for member in visible if member.name.lower().endswith(IMAGES)]
    skipped = [member.name for member in visible if not member.name.lower().endswith(IMAGES)]
    if not members:
        others = f"; it has {describe_skipped(skipped)}" if skipped else ""
        raise DataError(f"{public(uri)} has no images{others}")
    return ImageSource(uri, members, partial(_reader, uri), listing, skipped)


def _scan(file: BinaryIO) -> Iterator[ImageFile]:
    with tarfile.open(fileobj=cast(IO[bytes], _Limited(file)), mode="r:") as archive:
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # otherwise tarfile keeps them all in memory
            path = _path(info)
            hidden = any(step.startswith(".") for step in path.split("/"))
            if info.isreg() and not info.issparse() and not hidden:
                yield ImageFile(path, info.offset_data, info.size)
        end = archive.offset
    # tarfile treats a damaged header as the end of the archive; the real end is a block of zeros.
    file.seek(end)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise ValueError(f"the archive is cut off or damaged at byte {end}")
    while file.read(_STEP_BYTES):  # read on, so that gzip verifies its checksum
        pass


def _path(info: tarfile.TarInfo) -> str:
    return "/".join(step for step in PurePosixPath(info.name).parts if step not in ("/", "."))


@contextmanager
def _reader(uri: str) -> Iterator[Reader]:
    with _opened(uri) as file:

        def read(members: Sequence[ImageFile]) -> list[bytes]:
            # In order of their offsets, because a compressed file can only be read forwards.
            in_order = sorted(members, key=lambda member: member.location)
            contents = {member.name: _read(file, member) for member in in_order}
            return [contents[member.name] for member in members]

        yield read


def _read(file: BinaryIO, member: ImageFile) -> bytes:
    """:raises ValueError: the member is no longer at its offset."""
    file.seek(int(member.location) - tarfile.BLOCKSIZE)
    content = read_fully(file, tarfile.BLOCKSIZE + member.size)
    if len(content) < tarfile.BLOCKSIZE + member.size or not _begins_with(content, member):
        raise ValueError("the archive was rewritten after it was opened")
    return content[tarfile.BLOCKSIZE :]


def _begins_with(content: bytes, member: ImageFile) -> bool:
    """Whether bytes begin with the header of a member."""
    try:
        info = tarfile.TarInfo.frombuf(content[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    # Long and non-ASCII names are in a separate header before this one.
    same_name = _path(info) == member.name or len(member.name) > _SHORT_NAME or not member.name.isascii()
    return info.size == member.size and same_name


@contextmanager
def _opened(uri: str) -> Iterator[BinaryIO]:
    """The uncompressed archive. Seeking backwards in a compressed one decompresses it from the start again."""
    with open_bytes(uri) as raw:
        compressed = raw.read(len(_GZIP)) == _GZIP
        raw.seek(0)
        if not compressed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw, mode="rb") as file:
            yield cast(BinaryIO, file)


class _Limited:
    """A file that refuses reads of an unreasonable size, whatever size a header claims."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _STEP_BYTES:
            raise ValueError(f"a header of {size} bytes")
        return self._file.read(size)
