"""Connections to the gateway, in pools of a few.

For each request, the pool of httpx looks at all its connections, several times at each that is idle; and it keeps none
when it has more than it may keep, in use or not. So a request costs less, and connections are used again, in pools that
are small.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx

from longshore.producers.http.connection import AGENT

#: Requests of one pool at the same time, and connections that it keeps.
POOL_SIZE: Final = 8
#: Pools that are kept while they have no requests.
MAX_UNUSED: Final = 4
_LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=POOL_SIZE, keepalive_expiry=20.0)


@dataclass(eq=False)
class _Pool:
    client: httpx.AsyncClient
    requests: int = 0


class ConnectionPools:
    """Pools for the coroutines of one event loop, made as they are needed.

    :param auth: sends the token.
    """

    def __init__(self, auth: httpx.Auth) -> None:
        self._auth = auth
        self._pools: list[_Pool] = []
        self._certificates: ssl.SSLContext | None = None

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client for one request."""
        pool = next((each for each in self._pools if each.requests < POOL_SIZE), None) or self._add()
        pool.requests += 1
        try:
            yield pool.client
        finally:
            pool.requests -= 1
            unused = [each for each in self._pools if not each.requests]
            if len(unused) > MAX_UNUSED:
                self._pools.remove(unused[-1])
                await unused[-1].client.aclose()

    async def close(self) -> None:
        """Close all connections."""
        pools, self._pools = self._pools, []
        for pool in pools:
            await pool.client.aclose()

    def _add(self) -> _Pool:
        # It takes longer to read them than to connect.
        self._certificates = self._certificates or httpx.create_ssl_context()
        client = httpx.AsyncClient(auth=self._auth, headers=AGENT, limits=_LIMITS, verify=self._certificates)
        pool = _Pool(client)
        self._pools.append(pool)
        return pool
