"""Rows that are image files: where each lies, what it is called, and its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pyarrow as pa

from longshore.shared.datasets.checks import check_request
from longshore.shared.datasets.file_listing import digest
from longshore.shared.datasets.files import reading
from longshore.shared.datasets.segments import Segment, cut
from longshore.shared.errors import DataError
from longshore.shared.store.address import public

#: The columns: the path below the folder or in the archive, the folder the file lies in, and the file's own bytes.
SCHEMA = pa.schema([("path", pa.string()), ("label", pa.string()), ("image", pa.binary())])
#: Bytes of files that are read at a time: one file more than this, at most, is held in memory.
GROUP_BYTES = 32 << 20
#: The largest file that is read. A larger one is null, and so an error of its row.
LARGEST = 64 << 20
#: Images in the first rows that are looked at.
HEAD = 32


@dataclass(frozen=True, slots=True)
class Member:
    """One image file."""

    #: Its path below the folder, or in the archive; with ``/``.
    name: str
    #: Where it is: the address of a file of its own, or its first byte in an archive.
    place: str | int
    #: Bytes.
    size: int


#: The content of some files, in their order.
Reader = Callable[[Sequence[Member]], list[bytes]]


class ImageSource:
    """Image files in the order of their paths, none of which is read when it is opened.

    :param members: sorted.
    :param open_reader: gives what reads the files of one segment, group by group.
    :param listing: the digest of the files at submission; ``None`` where it is not known yet.
    """

    schema = SCHEMA

    def __init__(
        self,
        uri: str,
        members: list[Member],
        open_reader: Callable[[], AbstractContextManager[Reader]],
        listing: str | None,
    ) -> None:
        self._uri = uri
        self._members = members
        self._open_reader = open_reader
        self.rows = len(members)
        #: Of the files that are there now.
        self.listing = digest(members)
        if listing not in (None, self.listing):
            raise DataError(f"{public(uri)}: files were added, removed or written again since the job was submitted")

    def head(self, rows: int = 1024) -> pa.RecordBatch:
        """The first rows, and of images no more than are quickly read."""
        segment = Segment(0, min(rows, HEAD, self.rows))
        return next(self.batches(segment, SCHEMA.names, HEAD))

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

    def _groups(self, members: Sequence[Member]) -> Iterator[tuple[Sequence[Member], pa.Array]]:
        with self._open_reader() as read:
            for group in grouped(members):
                small = [member for member in group if member.size <= LARGEST]
                found = dict(zip((member.name for member in small), read(small), strict=True))
                yield group, pa.array([found.get(member.name) for member in group], pa.binary())


def grouped(members: Sequence[Member]) -> Iterator[Sequence[Member]]:
    """Runs of files of about ``GROUP_BYTES`` together."""
    start = held = 0
    for stop, member in enumerate(members, 1):
        held += member.size if member.size <= LARGEST else 0
        if held >= GROUP_BYTES or stop == len(members):
            yield members[start:stop]
            start, held = stop, 0


def _paths(members: Sequence[Member]) -> pa.Array:
    return pa.array([_text(member.name) for member in members], pa.string())


def _labels(members: Sequence[Member]) -> pa.Array:
    """The folder that each lies in; null at the top."""
    steps = [member.name.split("/") for member in members]
    return pa.array([_text(path[-2]) if len(path) > 1 else None for path in steps], pa.string())


def _text(name: str) -> str:
    """A name that is no UTF-8 is one all the same."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
