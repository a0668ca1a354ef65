"""Requests to the gateway that may last, without threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx

from longshore.producers.aio.threads import client_closed
from longshore.producers.http.aio.pools import ConnectionPools
from longshore.producers.http.connection import (
    Cut,
    Document,
    GatewayConnection,
    GatewayOutage,
    Params,
    given_params,
    is_final,
    outage_reason,
    read_document,
    time_limits,
)
from longshore.producers.http.errors import read_problem


class AsyncGatewayConnection:
    """The gateway, for the coroutines of one event loop. It makes connections when they are first needed, and closes
    that of a request whose coroutine is cancelled.

    :param connection: that of the client that blocks, with the address and the token.
    """

    def __init__(self, connection: GatewayConnection) -> None:
        self._connection = connection
        self._pools = ConnectionPools(connection.auth)
        self._waits: set[asyncio.Timeout] = set()
        self._is_closed = False

    def outage(self, budget_s: float) -> GatewayOutage:
        """See :meth:`GatewayConnection.outage`."""
        return self._connection.outage(budget_s)

    async def get(
        self, path: str, params: Params | None = None, *, wait_s: float = 0.0, outage: GatewayOutage
    ) -> Document:
        """The document at a path. It is asked for again while the gateway is away.

        :param wait_s: seconds for which the gateway may let the answer wait.
        :param outage: how long it may be away.
        :raises ServiceUnavailable: it is away for longer, or the client was closed.
        """
        while True:
            retry_after_s = None
            try:
                async with self._client() as client:
                    answer = await client.get(
                        self._connection.at(path), params=given_params(params), timeout=time_limits(wait_s)
                    )
            except httpx.TransportError as error:
                reason = outage_reason(error)
                if is_final(error):
                    self._connection.fail(reason)
            else:
                self._connection.has_answered = True
                if answer.is_success:
                    outage.over()
                    return read_document(answer)
                problem = read_problem(answer)
                if not problem.is_temporary:
                    raise problem.error()
                reason, retry_after_s = f"{problem.detail} (HTTP {problem.status})", problem.retry_after_s
            await self.pause(outage, reason, retry_after_s)

    @asynccontextmanager
    async def lines(self, path: str, params: Params) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of an answer while they come. It is not tried again.

        :raises Cut: it has ended before its end; the caller may go on.
        :raises ServiceUnavailable: the client was closed.
        """
        try:
            async with self._client() as client, self._answer(client, path, params) as answer:
                self._connection.has_answered = True
                if not answer.is_success:
                    await answer.aread()
                    problem = read_problem(answer)
                    if problem.is_temporary:
                        raise Cut
                    raise problem.error()
                yield answer.aiter_lines()
        except httpx.TransportError as error:
            raise Cut(str(error)) from None

    @asynccontextmanager
    async def _answer(self, client: httpx.AsyncClient, path: str, params: Params) -> AsyncIterator[httpx.Response]:
        query = given_params(params)
        request = client.build_request("GET", self._connection.at(path), params=query, timeout=time_limits())
        # Closing the pool ends what comes over its connections, but none that is being made.
        async with self.until_closed():
            answer = await client.send(request, stream=True)
        try:
            yield answer
        finally:
            await answer.aclose()

    async def pause(self, outage: GatewayOutage, reason: str, at_least_s: float | None = None) -> None:
        """Wait before the next try.

        :raises ServiceUnavailable: there is none: the gateway is away for too long, or the client was closed.
        """
        if self._is_closed:
            raise client_closed()
        pause_s = outage.next_pause_s(at_least_s)
        if pause_s is None:
            self._connection.fail(reason)
        async with self.until_closed():
            await asyncio.sleep(pause_s)

    @asynccontextmanager
    async def until_closed(self) -> AsyncIterator[None]:
        """Around what waits for something.

        :raises ServiceUnavailable: the client was closed.
        """
        if self._is_closed:
            raise client_closed()
        try:
            async with asyncio.timeout(None) as wait:
                self._waits.add(wait)
                try:
                    yield
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            if not wait.expired():
                raise
            raise client_closed() from None

    async def close(self) -> None:
        """Close the connections. Those who wait, and those who come later, get a ServiceUnavailable."""
        if not self._is_closed:
            self._is_closed = True
            for wait in self._waits:
                wait.reschedule(asyncio.get_running_loop().time())
        await self._pools.close()

    def _client(self) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        if self._is_closed:
            raise client_closed()
        return self._pools.client()
