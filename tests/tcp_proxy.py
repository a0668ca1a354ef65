"""A TCP proxy that does to connections what networks do: delay, stall, cut, swallow, and lose the last answer."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")
#: Bytes read at once.
CHUNK_BYTES = 1 << 16
#: Ends a connection with RST: on, and no seconds to send what is left.
RESET_LINGER = struct.pack("ii", 1, 0)


class _Link:
    """One connection of a client, and its own to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        #: Nothing passes any more, though both sides stay open.
        self.swallowed = False
        #: The next answer of the server is lost, and the connection with it.
        self.lose_answer = False

    def reset(self) -> None:
        for writer in (self.client, self.server):
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_LINGER)
            writer.transport.abort()


class TcpProxy:
    """Listens on a port of loopback and passes each connection on to a server.

    Faults are context managers; outside of them everything passes. Its methods can be called from any thread.

    :param host: of the server.
    :param port: of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._delay_s = 0.0
        self._refusing = False
        self._loses: Callable[[bytes], bool] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy to {port}", daemon=True)
        self._thread.start()
        self._flowing = self._call(self._event())
        self._listener = self._call(asyncio.start_server(self._accept, "127.0.0.1", 0))
        #: Where it listens.
        self.port: int = self._listener.sockets[0].getsockname()[1]

    @contextmanager
    def delayed(self, seconds: float) -> Iterator[None]:
        """Whatever passes, in either direction, is late by so much."""
        self._delay_s = seconds
        try:
            yield
        finally:
            self._delay_s = 0.0

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Nothing passes; afterwards everything that was sent meanwhile does."""
        self._loop.call_soon_threadsafe(self._flowing.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._flowing.set)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """All connections are cut, and new ones are cut at once."""
        self.refuse()
        self.cut()
        try:
            yield
        finally:
            self.accept()

    def refuse(self) -> None:
        """From now on, new connections are cut at once; those that there are stay."""
        self._refusing = True

    def accept(self) -> None:
        """From now on, new connections pass again."""
        self._refusing = False

    @contextmanager
    def losing_answers(self, when: Callable[[bytes], bool]) -> Iterator[None]:
        """What a client sends passes; if ``when`` is true of it, the server's answer is lost and the connection cut.

        :param when: is called with what a client has sent at once; ``lambda sent: b"COMMIT" in sent``.
        """
        self._loses = when
        try:
            yield
        finally:
            self._loses = None

    def cut(self) -> int:
        """Reset the connections there are. Returns how many."""
        return self._call(self._cut())

    def swallow(self) -> int:
        """Leave the connections there are open, and let nothing of them pass ever again, as after a router has crashed.
        New connections work. Returns how many.
        """
        return self._call(self._swallow())

    def close(self) -> None:
        """Cut everything and stop listening."""
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, coroutine: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _event(self) -> asyncio.Event:
        event = asyncio.Event()
        event.set()
        return event

    async def _cut(self) -> int:
        links = [link for link in self._links if not link.swallowed]
        for link in links:
            link.reset()
        return len(links)

    async def _swallow(self) -> int:
        links = [link for link in self._links if not link.swallowed]
        for link in links:
            link.swallowed = True
        return len(links)

    async def _stop(self) -> None:
        self._listener.close()
        self._flowing.set()
        for link in list(self._links):
            link.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not self._refusing:
                await self._serve(reader, client)
        except (OSError, asyncio.CancelledError):
            pass  # one of the two is gone
        finally:
            self._tasks.discard(task)
            client.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        answers, server = await asyncio.open_connection(*self._target)
        link = _Link(client, server)
        self._links.add(link)
        pumps = [
            asyncio.create_task(self._pump(link, reader, server, requests=True)),
            asyncio.create_task(self._pump(link, answers, client, requests=False)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._links.discard(link)
            server.transport.abort()

    async def _pump(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, requests: bool
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._flowing.wait()
            if link.swallowed:
                continue
            if requests and self._loses is not None and self._loses(data):
                link.lose_answer = True
            elif not requests and link.lose_answer:
                link.reset()
                return
            writer.write(data)
            await writer.drain()
        if link.swallowed:
            await asyncio.Event().wait()  # the other side must not learn of the end
        await self._drained(writer)

    async def _drained(self, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await writer.drain()
