"""A client for each producer that calls, kept while it is in use and a while after."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from longshore.producers.aio.client import AsyncClient
from longshore.shared.settings import Settings

#: Producers whose clients are kept though nobody uses them, those that called last. Each has up to five connections.
MAX_IDLE: Final = 64
#: Seconds for which a client is kept in any case: what a request has begun may go on for a moment after its answer.
KEEP_S: Final = 60.0


@dataclass
class _Entry:
    client: AsyncClient
    users: int = 0
    used_at: float = 0.0


class Clients:
    """The clients, in one event loop.

    :param settings: the addresses of the cluster, with the gateway's login to Postgres.
    """

    def __init__(self, settings: Settings, max_idle: int = MAX_IDLE, keep_s: float = KEEP_S) -> None:
        self._settings = settings
        self._max_idle = max_idle
        self._keep_s = keep_s
        #: By producer, the one that was taken last at the end.
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    @contextmanager
    def using(self, producer: str) -> Iterator[AsyncClient]:
        """The client of a producer, which stays open as long as it is used."""
        entry = self._entries.get(producer)
        if entry is None:
            entry = self._entries[producer] = _Entry(self._open(producer))
        self._entries.move_to_end(producer)
        entry.users += 1
        try:
            yield entry.client
        finally:
            entry.users -= 1
            entry.used_at = time.monotonic()
            self._close_idle()

    async def close(self) -> None:
        """Close all of them."""
        while self._entries:
            _, entry = self._entries.popitem()
            await entry.client.close()
        if self._closing:
            await asyncio.wait(self._closing)

    def __len__(self) -> int:
        return len(self._entries)

    def _open(self, producer: str) -> AsyncClient:
        settings = replace(self._settings, producer=producer)
        return AsyncClient(
            redis_url=settings.redis_url, database_url=settings.database_url, store=settings.store, producer=producer
        )

    def _close_idle(self) -> None:
        old = time.monotonic() - self._keep_s
        idle = [name for name, entry in self._entries.items() if not entry.users and entry.used_at <= old]
        for name in idle[: max(0, len(self._entries) - self._max_idle)]:
            task = asyncio.get_running_loop().create_task(self._entries.pop(name).client.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
