"""A client for each producer that calls, kept while it is in use."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from longshore.producers.aio.client import AsyncClient
from longshore.shared.settings import Settings

#: Producers whose clients are kept, those that called last.
MAX_CLIENTS = 64


class Clients:
    """The clients, in one event loop.

    :param settings: the addresses of the cluster, with the gateway's login to Postgres.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: OrderedDict[str, AsyncClient] = OrderedDict()

    def of(self, producer: str) -> AsyncClient:
        """The client of a producer."""
        client = self._clients.get(producer)
        if client is None:
            settings = replace(self._settings, producer=producer)
            client = self._clients[producer] = AsyncClient(
                redis_url=settings.redis_url,
                database_url=settings.database_url,
                store=settings.store,
                producer=producer,
            )
        self._clients.move_to_end(producer)
        return client

    async def close(self) -> None:
        """Close all of them."""
        while self._clients:
            _, client = self._clients.popitem()
            await client.close()
