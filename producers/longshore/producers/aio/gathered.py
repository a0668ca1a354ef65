"""Calls of many coroutines that are made as one: a query or a commit costs little more for many than for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from longshore.producers.aio.threads import Threads

T = TypeVar("T")
R = TypeVar("R")

#: What is made as one call at most: those who come first do not wait long for those who come last.
MAX_GATHERED: Final = 100


class Gathered(Generic[T, R]):
    """Makes calls in a thread. Those that come while one is made wait, and are made together as the next: nobody waits
    when there is no other call.

    :param run: what is called with the items of several coroutines; for each item it returns its result, or the error
        to raise. It must not let one item fail for another.
    """

    def __init__(self, threads: Threads, run: Callable[[list[T]], Sequence[R | Exception]]) -> None:
        self._threads = threads
        self._run = run
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def call(self, item: T) -> R:
        """The result of an item. If the coroutine is cancelled before the call begins, nothing is asked for it; a call
        that has begun goes on.
        """
        loop = asyncio.get_running_loop()
        end: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, end))
        if self._task is None or self._task.done():
            # A task begins after all coroutines that can go on now: what these ask for goes with it.
            self._task = loop.create_task(self._make_calls(), name="longshore: gathered calls")
        return await end

    def close(self, error: Exception) -> None:
        """Raise an error for those whose call has not begun."""
        waiting, self._waiting = self._waiting, []
        for _, end in waiting:
            if not end.done():
                end.set_exception(error)

    async def _make_calls(self) -> None:
        while waiting := [each for each in self._waiting if not each[1].done()]:  # the others were cancelled
            taken, self._waiting = waiting[:MAX_GATHERED], waiting[MAX_GATHERED:]
            outcomes: Sequence[R | BaseException]
            try:
                outcomes = await self._threads.call(self._run, [item for item, _ in taken])
            except asyncio.CancelledError:  # the event loop ends
                for _, end in (*taken, *self._waiting):
                    end.cancel()
                raise
            except BaseException as error:  # also a panic of a native library: nobody may wait for ever
                outcomes = [error] * len(taken)
            for (_, end), outcome in zip(taken, outcomes, strict=True):
                if end.done():  # its coroutine was cancelled
                    continue
                if isinstance(outcome, BaseException):
                    end.set_exception(outcome)
                else:
                    end.set_result(outcome)
