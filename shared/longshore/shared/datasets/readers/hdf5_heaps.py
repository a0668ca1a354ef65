"""Refuses heaps of an HDF5 file with which the HDF5 library never ends.

Texts of variable length lie in global heaps, each a list of objects with their sizes. The library follows the list
without a look at what an object of no size does: it is followed by itself. A process that has begun to read such a file
can only be killed, so each heap is looked at on its way to the library.

Source: the format's specification, III.E, "Disk Format: Level 1E - Global Heap".
"""

from __future__ import annotations

import io
from typing import BinaryIO, Final

_SUPERBLOCK: Final = b"\x89HDF\r\n\x1a\n"
#: With its version, the only one that the library reads: rows that begin with these letters are no heap.
_HEAP: Final = b"GCOL\x01"


class CheckedFile(io.RawIOBase):
    """A file as h5py reads it.

    :param file: is read and positioned by this object alone, and not closed by it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        #: Bytes of a length in this file; nearly all have 8.
        self._length_bytes = 8

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read up to the length of the buffer, less only at the end of the file.

        :raises OSError: what was read is a damaged heap.
        """
        done = 0
        while done < len(buffer):  # a system call reads 2 GiB at most
            content = self._file.read(len(buffer) - done)
            if not content:
                break
            buffer[done : done + len(content)] = content
            done += len(content)
        if bytes(buffer[:8]) == _SUPERBLOCK and done > 14:
            self._length_bytes = buffer[14] if buffer[8] < 2 else buffer[10]
        elif bytes(buffer[: len(_HEAP)]) == _HEAP:
            self._check_heap(bytes(buffer[:done]))
        return done

    def _check_heap(self, content: bytes) -> None:
        """Follow the list of objects as far as it was read."""
        length = self._length_bytes
        end = int.from_bytes(content[8 : 8 + length], "little")
        header = _aligned(8 + length)
        at = header
        while at + header <= min(end, len(content)):
            index = int.from_bytes(content[at : at + 2], "little")
            size = int.from_bytes(content[at + 8 : at + 8 + length], "little")
            # Number 0 is the space that is free: its size includes its header.
            step = _aligned(size) if index == 0 else header + _aligned(size)
            if step == 0 or step > end - at:
                raise OSError("it is damaged: a list of its texts does not end; write the file again")
            at += step


def _aligned(size: int) -> int:
    return (size + 7) // 8 * 8
