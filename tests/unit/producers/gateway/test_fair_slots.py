"""Slots that callers share."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from longshore.producers.gateway.serving.fair_slots import FairSlots

#: Seconds: so long that nothing ends because of it.
LONG_S = 600.0


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def holding(slots: FairSlots, caller: str, wanted: int) -> list[asyncio.Task[bool]]:
    """So many requests of a caller, each with what it got, if it was answered yet."""
    tasks = [asyncio.create_task(slots.acquire(caller, LONG_S)) for _ in range(wanted)]
    await settle()
    return tasks


def answered(tasks: list[asyncio.Task[bool]]) -> Counter[bool | None]:
    return Counter(task.result() if task.done() else None for task in tasks)


def test_one_caller_alone_gets_nearly_all() -> None:
    async def check() -> None:
        slots = FairSlots(1024, 1024)
        alone = await holding(slots, "a", 2048)
        assert answered(alone) == {True: 1008, None: 768, False: 272}
        for task in alone:
            task.cancel()
        await settle()

    asyncio.run(check())


def test_a_caller_with_all_slots_and_places_keeps_nobody_out() -> None:
    async def check() -> None:
        slots = FairSlots(1024, 1024)
        first = await holding(slots, "a", 3000)
        second = await holding(slots, "b", 20)
        assert answered(second) == {True: 4, None: 16}
        others = [await holding(slots, f"other {number}", 4) for number in range(3)]
        assert [answered(each) for each in others] == [{True: 4}] * 3
        # None is left, and a caller can wait all the same.
        third = await holding(slots, "c", 1)
        assert answered(third) == {None: 1}
        slots.release("a")
        await settle()
        assert answered(third) == {True: 1}, "before those that hold more"
        # The last ones stay for others, and what becomes free then goes to those that wait in turn.
        for _ in range(16 + 20):
            slots.release("a")
        await settle()
        assert (answered(first)[True], answered(second)[True]) == (1008 + 10, 4 + 10)
        for task in first:
            task.cancel()
        await settle()

    asyncio.run(check())


def test_whatever_ends_when_no_slot_is_lost() -> None:
    random.seed(4)

    async def request(slots: FairSlots, caller: str, held: list[int]) -> None:
        if await slots.acquire(caller, random.choice([0.0, 0.001, LONG_S])):
            held[0] += 1
            assert held[0] <= 8
            try:
                for _ in range(random.randrange(5)):
                    await asyncio.sleep(0)
            finally:
                held[0] -= 1
                slots.release(caller)

    async def check() -> None:
        slots, held = FairSlots(8, 8), [0]
        tasks: list[asyncio.Task[None]] = []
        for _ in range(3000):
            tasks.append(asyncio.create_task(request(slots, random.choice("aaaabc"), held)))
            if random.random() < 0.3:
                random.choice(tasks[-20:]).cancel()
            if random.random() < 0.5:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert held == [0]
        assert [answered(await holding(slots, caller, 1)) for caller in "abcdefgh"] == [{True: 1}] * 8
        assert answered(await holding(slots, "i", 1)) == {None: 1}

    asyncio.run(check())
