"""An AsyncClient behind the methods of a Client, so that both pass the same tests."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TypeVar

from longshore.producers import AsyncClient, AsyncJob
from longshore.producers.aio.models import AsyncModels
from longshore.producers.then import Then

T = TypeVar("T")
#: Of a job: coroutines for asyncio, and properties of the class that blocks.
PROPERTIES = ("state", "progress", "notes")


class Loop:
    """An event loop that runs in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="event loop")
        self._thread.start()

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        """What a coroutine returns or raises."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Blocking:
    """Waits for what the methods of an object return."""

    def __init__(self, of: object, loop: Loop) -> None:
        self._of = of
        self._loop = loop

    def __getattr__(self, name: str) -> object:
        value = getattr(self._of, name)
        if isinstance(self._of, AsyncJob) and name in PROPERTIES:
            return self._loop.run(value())
        return self._calling(value) if inspect.ismethod(value) else self._wrap(value)

    def _calling(self, method: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **keywords: object) -> object:
            return self._wrap(self._loop.run(_called(method, *map(_unwrap, args), **keywords)))

        return call

    def _wrap(self, value: object) -> object:
        if isinstance(value, list):
            return [self._wrap(each) for each in value]
        return Blocking(value, self._loop) if isinstance(value, (AsyncClient, AsyncJob, AsyncModels, Then)) else value


def _unwrap(value: object) -> object:
    if isinstance(value, list):
        return [_unwrap(each) for each in value]
    return value._of if isinstance(value, Blocking) else value


async def _called(method: Callable[..., object], *args: object, **keywords: object) -> object:
    value = method(*args, **keywords)
    if isinstance(value, Awaitable) and not isinstance(value, AsyncJob):
        value = await value
    if isinstance(value, AsyncIterator):
        return [item async for item in value]
    return value
