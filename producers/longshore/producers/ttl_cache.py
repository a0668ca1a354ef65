"""A cache whose entries expire."""

from __future__ import annotations

import time
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: Seconds. A worker that comes or goes, or a deleted version, can go unnoticed by a producer for this long.
ENTRY_TTL_S: Final = 2.0
#: The cache is cleared when it reaches this size.
MAX_ENTRIES: Final = 256


class TtlCache(Generic[T]):
    """Values by key, each for :data:`ENTRY_TTL_S` seconds. Threads may share one."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[float, T]] = {}

    def get(self, key: str) -> T | None:
        """The value of a key; ``None`` if there is none, or if it has expired."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None and time.monotonic() < entry[0] else None

    def put(self, key: str, value: T) -> T:
        """Store a value and return it."""
        if len(self._entries) >= MAX_ENTRIES:
            self._entries = {}
        self._entries[key] = (time.monotonic() + ENTRY_TTL_S, value)
        return value
