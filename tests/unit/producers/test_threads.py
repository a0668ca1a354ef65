"""Generators that block, read by coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import aclosing

import pytest

from longshore.producers.aio.threads import CHUNK, Threads
from tests.waiting import TIMEOUT_S


class Rows:
    """Rows that come once they are let go, and know whether they were closed."""

    def __init__(self) -> None:
        self.begun, self.go, self.closed = threading.Event(), threading.Event(), threading.Event()

    def read(self) -> Generator[int, None, None]:
        try:
            self.begun.set()
            self.go.wait(TIMEOUT_S)
            yield from range(2 * CHUNK + 1)
        finally:
            self.closed.set()


async def read_all(threads: Threads, rows: Rows) -> list[int]:
    return [row async for row in threads.iterate(rows.read())]


def test_a_reader_that_is_cancelled_closes_what_it_reads() -> None:
    async def main(rows: Rows) -> None:
        threads = Threads()
        reading = asyncio.create_task(read_all(threads, rows))
        await asyncio.to_thread(rows.begun.wait, TIMEOUT_S)
        reading.cancel()
        # It waits for the thread that is in the generator, which would refuse to be closed.
        asyncio.get_running_loop().call_later(0.05, rows.go.set)
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert rows.closed.is_set()
        await threads.close()

    asyncio.run(main(Rows()))


def test_a_reader_that_stops_early_closes_what_it_reads() -> None:
    async def main(rows: Rows) -> None:
        threads = Threads()
        rows.go.set()
        async with aclosing(threads.iterate(rows.read())) as reading:
            assert await anext(reading) == 0
        assert rows.closed.is_set()
        assert await read_all(threads, rows) == list(range(2 * CHUNK + 1))
        await threads.close()

    asyncio.run(main(Rows()))
