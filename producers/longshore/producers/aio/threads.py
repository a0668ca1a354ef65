"""Calls of the client in threads, so that an event loop goes on meanwhile.

All logic is that of the client that blocks: the calls are the same, and only the waiting for their answers differs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Final, ParamSpec, TypeVar

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.postgres.pool import MAX_CONNECTIONS

P = ParamSpec("P")
T = TypeVar("T")

#: What is read at once of a long answer.
CHUNK: Final = 1000


def client_closed() -> ServiceUnavailable:
    """The error for those who use a client that was closed, or still wait for it."""
    return ServiceUnavailable("the client was closed; make another one")


class Threads:
    """Some threads, started when they are first needed.

    :param count: the most of them. Default: as many as a ledger has connections; more would only wait for one.
    """

    def __init__(self, count: int = MAX_CONNECTIONS) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="longshore")
        self._is_closed = False

    async def call(self, function: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T:
        """What the function returns or raises. A call that has begun goes on if the coroutine is cancelled.

        :raises ServiceUnavailable: the threads were closed.
        """
        if self._is_closed:
            raise client_closed()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(function, *args, **keywords))

    async def iterate(self, generator: Generator[T, None, None]) -> AsyncGenerator[T, None]:
        """The items of a generator whose every step may block. It is closed at the end, also if that comes early."""
        # The coroutine can be cancelled while a thread is in the generator, which can only be closed after that.
        in_use = threading.Lock()

        def read() -> list[T]:
            with in_use:
                return list(islice(generator, CHUNK))

        def close() -> None:
            with in_use:
                generator.close()

        try:
            while chunk := await self.call(read):
                for item in chunk:
                    yield item
        finally:
            await (asyncio.to_thread(close) if self._is_closed else self.call(close))

    async def close(self) -> None:
        """End the threads, after the calls that run. There are no others any more."""
        self._is_closed = True
        await asyncio.to_thread(self._executor.shutdown)
