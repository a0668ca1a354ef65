"""Where a store's files lie: one small interface, for a local folder and for everything fsspec reaches."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from longshore.shared.errors import InvalidInput
from longshore.shared.store.address import is_remote, public

#: Bytes read or written at a time.
BLOCK = 1 << 20


class Folder(Protocol):
    """Files by relative path, ``/`` between its parts.

    Every method raises ServiceUnavailable when the store cannot be reached or refuses.
    """

    @property
    def name(self) -> str:
        """The folder's address, fit to be shown."""
        ...

    @property
    def path(self) -> Path | None:
        """The folder itself where it is on this machine."""
        ...

    def size(self, path: str) -> int | None:
        """Bytes of a file; ``None`` where there is none."""
        ...

    def blocks(self, path: str) -> Iterator[bytes]:
        """A file's bytes, a block at a time.

        :raises FileNotFoundError: there is no such file; at the first block.
        """
        ...

    def read(self, path: str) -> bytes:
        """:raises FileNotFoundError: there is no such file."""
        ...

    def write(self, path: str, blocks: Iterator[bytes]) -> None:
        """Write a file whole or not at all, over the one that is there. An error out of ``blocks`` leaves no file."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file; nothing happens where there is none."""
        ...

    def modified(self, path: str) -> datetime | None:
        """When a file was written or refreshed last; ``None`` where there is none, or its age cannot be told."""
        ...

    def refresh(self, path: str) -> bool:
        """Have a file count as written now, if it is there; ``False`` where it may not be touched."""
        ...

    def delete_old(self, path: str, before: datetime) -> bool:
        """Remove a file unless it was written or refreshed since ``before``. Returns whether it was removed."""
        ...

    def names(self, path: str) -> list[str]:
        """The names of what lies directly in a subfolder, sorted; none where it does not exist."""
        ...


def open_folder(url: str) -> Folder:
    """The folder at a path or an fsspec URL. Nothing is touched yet.

    :raises InvalidInput: the URL is empty, or of a kind that cannot be used here; names ``store``.
    """
    if not url:
        raise InvalidInput("store", "empty; give a folder, or a URL such as s3://bucket/models")
    if not is_remote(url):
        from longshore.shared.store.local import LocalFolder

        plain = url.removeprefix("file://").removeprefix("local://")
        return LocalFolder(Path(plain).expanduser().absolute())
    from longshore.shared.store.remote import RemoteFolder

    return RemoteFolder(url, public(url))
