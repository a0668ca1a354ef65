"""Calls of coroutines that are made as one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Event

import pytest

from longshore.producers.aio.gathered import MAX_GATHERED, Gathered
from longshore.producers.aio.threads import Threads
from longshore.shared.errors import ServiceUnavailable
from tests.waiting import TIMEOUT_S


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads()
    yield threads
    asyncio.run(threads.close())


class Doubling:
    """Doubles numbers, and keeps what it was called with. A call waits until ``go`` is set."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.begun, self.go = Event(), Event()

    def __call__(self, numbers: list[int]) -> list[int | Exception]:
        self.calls.append(numbers)
        self.begun.set()
        assert self.go.wait(TIMEOUT_S)
        return [ValueError(f"{number} is odd") if number % 2 else number * 2 for number in numbers]


def test_those_that_come_together_are_one_call_and_those_that_come_meanwhile_the_next(threads: Threads) -> None:
    run = Doubling()

    async def main() -> None:
        gathered = Gathered(threads, run)
        first = [asyncio.create_task(gathered.call(number)) for number in (2, 4)]
        await asyncio.to_thread(run.begun.wait, TIMEOUT_S)
        later = [asyncio.create_task(gathered.call(number)) for number in (6, 8, 10)]
        await asyncio.sleep(0)
        run.go.set()
        assert await asyncio.gather(*first, *later) == [4, 8, 12, 16, 20]
        assert await gathered.call(12) == 24

    asyncio.run(main())
    assert run.calls == [[2, 4], [6, 8, 10], [12]]


def test_each_gets_its_own_error(threads: Threads) -> None:
    run = Doubling()
    run.go.set()

    async def main() -> None:
        gathered = Gathered(threads, run)
        outcomes = await asyncio.gather(*map(gathered.call, (1, 2, 3)), return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["1 is odd", "4", "3 is odd"]

    asyncio.run(main())


def test_what_the_call_itself_raises_is_raised_for_all(threads: Threads) -> None:
    def run(numbers: list[int]) -> list[int | Exception]:
        raise OSError(f"{len(numbers)} of them")

    async def main() -> None:
        gathered = Gathered(threads, run)
        outcomes = await asyncio.gather(*map(gathered.call, (1, 2)), return_exceptions=True)
        assert [repr(outcome) for outcome in outcomes] == ["OSError('2 of them')"] * 2

    asyncio.run(main())


def test_a_call_is_not_larger_than_the_limit(threads: Threads) -> None:
    run = Doubling()
    run.go.set()

    async def main() -> None:
        gathered = Gathered(threads, run)
        numbers = range(0, 5 * MAX_GATHERED, 2)
        assert await asyncio.gather(*map(gathered.call, numbers)) == [2 * number for number in numbers]

    asyncio.run(main())
    assert [len(call) for call in run.calls] == [MAX_GATHERED, MAX_GATHERED, MAX_GATHERED // 2]


def test_one_that_is_cancelled_does_not_disturb_the_others(threads: Threads) -> None:
    run = Doubling()

    async def main() -> None:
        gathered = Gathered(threads, run)
        one, other = (asyncio.create_task(gathered.call(number)) for number in (2, 4))
        await asyncio.to_thread(run.begun.wait, TIMEOUT_S)
        one.cancel()
        run.go.set()
        assert await other == 8
        assert (await asyncio.gather(one, return_exceptions=True))[0].__class__ is asyncio.CancelledError

    asyncio.run(main())
    assert run.calls == [[2, 4]]


def test_one_that_is_cancelled_before_its_call_begins_asks_for_nothing(threads: Threads) -> None:
    run = Doubling()

    async def main() -> None:
        gathered = Gathered(threads, run)
        first = asyncio.create_task(gathered.call(2))
        await asyncio.to_thread(run.begun.wait, TIMEOUT_S)
        early, late = (asyncio.create_task(gathered.call(number)) for number in (4, 6))
        await asyncio.sleep(0)
        early.cancel()
        run.go.set()
        assert list(await asyncio.gather(first, late)) == [4, 12]
        assert early.cancelled()

    asyncio.run(main())
    assert run.calls == [[2], [6]]


def test_a_panic_is_raised_for_all(threads: Threads) -> None:
    class PanicException(BaseException):
        """As libraries in Rust raise it."""

    def run(numbers: list[int]) -> list[int | Exception]:
        raise PanicException(f"{len(numbers)} of them")

    async def main() -> None:
        gathered = Gathered(threads, run)
        outcomes = await asyncio.gather(*map(gathered.call, (1, 2)), return_exceptions=True)
        assert [repr(outcome) for outcome in outcomes] == ["PanicException('2 of them')"] * 2

    asyncio.run(asyncio.wait_for(main(), TIMEOUT_S))


def test_an_event_loop_that_ends_leaves_nobody_waiting(threads: Threads) -> None:
    run = Doubling()

    async def main() -> asyncio.Task[int]:
        gathered = Gathered(threads, run)
        waiting = asyncio.create_task(gathered.call(2))
        await asyncio.to_thread(run.begun.wait, TIMEOUT_S)
        return waiting

    waiting = asyncio.run(main())  # cancels all that is left
    assert waiting.cancelled()
    run.go.set()


def test_those_whose_call_has_not_begun_get_the_error_of_the_end(threads: Threads) -> None:
    run = Doubling()

    async def main() -> None:
        gathered = Gathered(threads, run)
        begun = asyncio.create_task(gathered.call(2))
        await asyncio.to_thread(run.begun.wait, TIMEOUT_S)
        waiting = asyncio.create_task(gathered.call(4))
        await asyncio.sleep(0)
        gathered.close(ServiceUnavailable("the client was closed"))
        run.go.set()
        assert await begun == 4
        with pytest.raises(ServiceUnavailable, match="the client was closed"):
            await waiting

    asyncio.run(main())
    assert run.calls == [[2]]
