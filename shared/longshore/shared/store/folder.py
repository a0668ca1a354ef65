"""The interface to a store's files: a local folder, or anything that fsspec can open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

#: How much is read or written at a time.
BLOCK_BYTES = 1 << 20
#: The subfolder of a local store for files that are still being written; nothing refers to its content.
TEMPORARY_FOLDER = "tmp"


class NewFile(Protocol):
    """A file that is being written, and that nobody finds yet. For one thread at a time."""

    def write(self, block: bytes) -> None:
        """Add to its end."""
        ...

    def commit(self, path: str) -> None:
        """End it under its path, atomically, in place of an existing file."""
        ...

    def discard(self) -> None:
        """Remove it; does nothing after :meth:`commit`."""
        ...


class Folder(Protocol):
    """Files by relative path, with ``/`` as the separator.

    Every method raises ServiceUnavailable if the store cannot be reached or rejects the request.
    """

    @property
    def name(self) -> str:
        """The folder's address without credentials, safe to display."""
        ...

    @property
    def path(self) -> Path | None:
        """The folder itself if it is on this machine, otherwise ``None``."""
        ...

    def size(self, path: str) -> int | None:
        """The size of a file in bytes; ``None`` if it does not exist."""
        ...

    def blocks(self, path: str, start: int = 0) -> Iterator[bytes]:
        """The content of a file, in blocks of at most :data:`BLOCK_BYTES`.

        :param start: the first byte.
        :raises FileNotFoundError: the file does not exist; raised when the first block is read.
        """
        ...

    def read(self, path: str) -> bytes:
        """The whole content of a file.

        :raises FileNotFoundError: the file does not exist.
        """
        ...

    def write(self, path: str, blocks: Iterator[bytes]) -> None:
        """Write a file atomically, replacing an existing one. If ``blocks`` raises, no file is left behind."""
        ...

    def create(self) -> NewFile:
        """Begin a file whose path is not known before its end."""
        ...

    def clone(self, path: str, source: Path, check: Callable[[Path], None]) -> bool:
        """Write a file atomically that shares its bytes on disk with another one, until either is changed.

        :param check: gets the new file before it can be found. If it raises, no file is left behind.
        :returns: whether the file was written; ``False`` if the file system cannot do this.
        """
        ...

    def delete(self, path: str) -> None:
        """Remove a file; does nothing if it does not exist."""
        ...

    def modified(self, path: str) -> datetime | None:
        """When a file was last written or refreshed; ``None`` if it does not exist or its age is unknown."""
        ...

    def refresh(self, path: str) -> bool:
        """Set the modification time of a file to now, if it exists; ``False`` if that is not permitted."""
        ...

    def delete_old(self, path: str, before: datetime) -> bool:
        """Remove a file unless it was written or refreshed since ``before``. Returns whether the file was removed."""
        ...

    def names(self, path: str) -> list[str]:
        """The sorted names of the files and folders directly in a subfolder; empty if it does not exist."""
        ...

    def files(self) -> Iterator[tuple[str, int]]:
        """The relative path and the size in bytes of every file, in no order. Files that come or go meanwhile may be
        missing.
        """
        ...
