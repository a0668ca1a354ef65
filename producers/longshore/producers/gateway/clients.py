"""A client for each producer that calls, and each limit of its open jobs, kept while it is in use and a while after."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from longshore.producers.aio.client import AsyncClient
from longshore.shared.ledger.jobs.open_jobs import OpenJobsLimit
from longshore.shared.settings import Settings

#: Clients that are kept though nobody uses them, those that called last. Each has up to five connections.
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
        #: By producer and limit, the one that was taken last at the end.
        self._entries: OrderedDict[tuple[str, int | None], _Entry] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    @contextmanager
    def using(self, producer: str, max_open_jobs: int | None = None) -> Iterator[AsyncClient]:
        """The client of a producer, which stays open as long as it is used.

        :param max_open_jobs: how many jobs the producer may have that have not ended, when it submits one.
        """
        key = (producer, max_open_jobs)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(self._open(producer, max_open_jobs))
        self._entries.move_to_end(key)
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

    def _open(self, producer: str, max_open_jobs: int | None) -> AsyncClient:
        settings = replace(self._settings, producer=producer)
        client = AsyncClient(
            redis_url=settings.redis_url, database_url=settings.database_url, store=settings.store, producer=producer
        )
        if max_open_jobs is not None:
            client.ledger.limit_open_jobs(OpenJobsLimit(producer, max_open_jobs))
        return client

    def _close_idle(self) -> None:
        old = time.monotonic() - self._keep_s
        idle = [key for key, entry in self._entries.items() if not entry.users and entry.used_at <= old]
        for key in idle[: max(0, len(self._entries) - self._max_idle)]:
            task = asyncio.get_running_loop().create_task(self._entries.pop(key).client.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
