"""Rows that are image files: the path, the folder name and the bytes of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pyarrow as pa

from longshore.shared.datasets.checks import check_request
from longshore.shared.datasets.file_listing import ADDED_IMAGES, describe_skipped, listing_digest
from longshore.shared.datasets.files import reading
from longshore.shared.datasets.segments import Segment, cut
from longshore.shared.errors import DataError
from longshore.shared.store.address import public

#: The columns: the path in the folder or archive, the name of the file's own folder, and the file's bytes.
SCHEMA = pa.schema([("path", pa.string()), ("label", pa.string()), ("image", pa.binary())])
#: How much is read at a time; at most one more file than this is in memory.
GROUP_BYTES = 32 << 20
#: The largest file that is read. A larger one becomes null, which makes its row bad.
MAX_FILE_BYTES = 64 << 20
#: The most rows that ``head`` reads.
MAX_HEAD_ROWS = 32


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image file."""

    #: Its path in the folder or archive, with ``/`` as the separator.
    name: str
    #: The address of a separate file, or the byte offset in an archive.
    location: str | int
    #: In bytes.
    size: int


#: Returns the contents of files, in the given order.
Reader = Callable[[Sequence[ImageFile]], list[bytes]]


class ImageSource:
    """Image files ordered by path. Opening it reads none of them.

    :param members: the files, sorted by path.
    :param open_reader: opens a reader for the files of one segment.
    :param listing: the digest of the file listing at submission; ``None`` if it is not known yet.
    :param skipped: the paths of the files that are not read, because they have other suffixes.
    :raises DataError: the listing has changed.
    """

    schema = SCHEMA

    def __init__(
        self,
        uri: str,
        members: list[ImageFile],
        open_reader: Callable[[], AbstractContextManager[Reader]],
        listing: str | None,
        skipped: Sequence[str] = (),
    ) -> None:
        self._uri = uri
        #: Notes on unusual data, a sentence each.
        self.notes = (f"skipped {describe_skipped(skipped)}",) if skipped else ()
        members = as_submitted(members, listing)
        self._members = members
        self._open_reader = open_reader
        self.rows = len(members)
        #: The digest of the current file listing.
        self.listing = listing_digest(members)
        if listing not in (None, self.listing):
            raise DataError(f"{public(uri)}: files were added, removed or rewritten after the job was submitted")

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        """The first rows, at most :data:`MAX_HEAD_ROWS` so that it is quick."""
        segment = Segment(0, min(rows, MAX_HEAD_ROWS, self.rows))
        return next(self.batches(segment, SCHEMA.names, MAX_HEAD_ROWS))

    def segments(self, rows_per_shard: int | None) -> list[Segment]:
        return cut([0, self.rows], rows_per_shard)

    def batches(
        self, segment: Segment, columns: Sequence[str], batch_rows: int, strict: bool = True
    ) -> Iterator[pa.RecordBatch]:
        check_request(self._uri, SCHEMA, self.rows, segment, columns)
        members = self._members[segment.start : segment.stop]
        with reading(self._uri):
            for group, images in self._groups(members) if "image" in columns else [(members, pa.nulls(len(members)))]:
                arrays = {"path": _paths(group), "label": _labels(group), "image": images}
                batch = pa.record_batch({name: arrays[name] for name in columns})
                for start in range(0, len(group), batch_rows):
                    yield batch.slice(start, batch_rows)

    def _groups(self, members: Sequence[ImageFile]) -> Iterator[tuple[Sequence[ImageFile], pa.Array]]:
        with self._open_reader() as read:
            for group in grouped(members):
                readable = [member for member in group if member.size <= MAX_FILE_BYTES]
                contents = dict(zip((member.name for member in readable), read(readable), strict=True))
                yield group, pa.array([contents.get(member.name) for member in group], pa.binary())


def as_submitted(members: list[ImageFile], listing: str | None) -> list[ImageFile]:
    """The files of a listing. That of a job of an earlier release has no TIFF files."""
    if listing in (None, listing_digest(members)):
        return members
    earlier = [member for member in members if not member.name.lower().endswith(ADDED_IMAGES)]
    return earlier if listing == listing_digest(earlier) else members


def grouped(members: Sequence[ImageFile]) -> Iterator[Sequence[ImageFile]]:
    """Split files into consecutive groups of about :data:`GROUP_BYTES`."""
    start = group_bytes = 0
    for stop, member in enumerate(members, 1):
        group_bytes += member.size if member.size <= MAX_FILE_BYTES else 0
        if group_bytes >= GROUP_BYTES or stop == len(members):
            yield members[start:stop]
            start, group_bytes = stop, 0


def _paths(members: Sequence[ImageFile]) -> pa.Array:
    return pa.array([_text(member.name) for member in members], pa.string())


def _labels(members: Sequence[ImageFile]) -> pa.Array:
    """The name of the folder of each file; null for files at the top level."""
    steps = [member.name.split("/") for member in members]
    return pa.array([_text(path[-2]) if len(path) > 1 else None for path in steps], pa.string())


def _text(name: str) -> str:
    """A file name as valid UTF-8; undecodable bytes become replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
