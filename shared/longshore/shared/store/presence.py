"""Tells a store that is away from one that is new or damaged.

``store.json`` marks the folder of a store. If a file server is not mounted, its mount point is an empty folder: without
the mark, everything in the store would seem to be missing, and new files would be written to the wrong disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.store.folder import Folder

MARKER: Final = "store.json"
_CONTENT: Final = json.dumps({"format": 1}).encode()
#: Folders that stores of earlier releases have, which have no mark.
_FOLDERS: Final = ("blobs", "models")


class StorePresence:
    """Whether the folder of a store is there.

    :param expected: whether the store must exist, because something refers to it. It is called only if the store seems
        to be empty.
    """

    def __init__(self, folder: Folder, expected: Callable[[], bool]) -> None:
        self._folder = folder
        self._expected = expected
        self._seen = False

    def check(self) -> None:
        """Check before something counts as missing.

        :raises ServiceUnavailable: the store is away.
        """
        if not self._is_there() and (self._seen or self._expected()):
            raise self._away()

    def check_holds(self) -> None:
        """Check that the store holds something, which it does if a reader knows of a blob in it.

        :raises ServiceUnavailable: the store is away.
        """
        if not self._is_there():
            raise self._away()

    def begin_write(self) -> None:
        """Check before a write, and mark a new store.

        :raises ServiceUnavailable: the store is away.
        """
        if self._seen and self._folder.path is None:  # buckets are not mounted, and asking is a request
            return
        if self._folder.size(MARKER) is None:
            if not self._is_there() and (self._seen or self._expected()):
                raise self._away()
            self._folder.write(MARKER, iter([_CONTENT]))
        self._seen = True

    def _is_there(self) -> bool:
        there = self._folder.size(MARKER) is not None or any(self._folder.names(name) for name in _FOLDERS)
        self._seen = self._seen or there
        return there

    def _away(self) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"store {self._folder.name} is missing or empty, but was in use before: mount or restore it"
        )
