"""Slots that callers share: one of them can use nearly all, and cannot keep the others out."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

#: One of so many slots is kept for callers that hold few: a caller that holds less than a part of these.
_RESERVED_SLOTS: Final = 64
_FEW_SLOTS: Final = 4
#: The same for places to wait.
_RESERVED_PLACES: Final = 4
_FEW_PLACES: Final = 16


@dataclass(eq=False)
class _Caller:
    """What one caller has."""

    key: str
    holds: int = 0
    #: Its requests that wait, the first at the front.
    waiting: OrderedDict[asyncio.Future[None], None] = field(default_factory=OrderedDict)


@dataclass(frozen=True)
class _Share:
    """How many of some places each caller may take."""

    reserved: int
    few: int

    @classmethod
    def of(cls, places: int, part: int, few: int) -> _Share:
        reserved = max(1, places // part) if places > 1 else 0
        return cls(reserved, max(1, reserved // few))

    def allows(self, free: int, own: int) -> bool:
        """Whether a caller with so many places may take another one."""
        return free > (self.reserved if own >= self.few else 0)


class FairSlots:
    """Slots, and a queue for them, in one event loop. Each call takes the same time however many callers there are.

    A caller alone gets all but the last few slots. They are for callers that hold few or none, so that the requests of
    one caller cannot keep others out, however long they take. A slot that becomes free goes to a caller that holds few,
    or else to the callers that wait in turn. The places of the queue are shared in the same way.

    :param slots: how many there are.
    :param places: how many requests may wait.
    """

    def __init__(self, slots: int, places: int) -> None:
        self._free, self._free_places = slots, places
        self._share = _Share.of(slots, _RESERVED_SLOTS, _FEW_SLOTS)
        self._share_of_places = _Share.of(places, _RESERVED_PLACES, _FEW_PLACES)
        #: Those that hold or want a slot.
        self._callers: dict[str, _Caller] = {}
        #: Those that wait in turn, by whether they hold few.
        self._turns: dict[bool, OrderedDict[str, _Caller]] = {True: OrderedDict(), False: OrderedDict()}

    async def acquire(self, key: str, timeout_s: float) -> bool:
        """Take a slot.

        :param key: whose request it is.
        :param timeout_s: seconds to wait for it, at most.
        :returns: ``False``: there was none in this time, or too many wait.
        """
        caller = self._callers.setdefault(key, _Caller(key))
        if self._share.allows(self._free, caller.holds):
            self._change(caller, 1)
            return True
        if not self._share_of_places.allows(self._free_places, len(caller.waiting)):
            self._forget(caller)
            return False
        return await self._wait(caller, timeout_s)

    def release(self, key: str) -> None:
        """Give a slot back."""
        caller = self._callers[key]
        self._change(caller, -1)
        self._forget(caller)
        while (following := self._next()) is not None:
            future, _ = following.waiting.popitem(last=False)
            self._free_places += 1
            if future.cancelled():  # its request has ended, and is about to notice
                self._change(following, 0)
                self._forget(following)
            else:
                self._change(following, 1)
                future.set_result(None)

    async def _wait(self, caller: _Caller, timeout_s: float) -> bool:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        caller.waiting[future] = None
        self._free_places -= 1
        self._turns[self._holds_few(caller)][caller.key] = caller
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except BaseException as error:
            if future in caller.waiting:
                del caller.waiting[future]
                self._free_places += 1
                self._change(caller, 0)
                self._forget(caller)
            elif not future.cancelled():  # it got a slot at the same moment
                self.release(caller.key)
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    def _next(self) -> _Caller | None:
        """Who gets a slot that is free now."""
        for holds_few, needed in ((True, 0), (False, self._share.reserved)):
            if self._turns[holds_few] and self._free > needed:
                return next(iter(self._turns[holds_few].values()))
        return None

    def _change(self, caller: _Caller, slots: int) -> None:
        """Count what a caller holds. If it gets a slot, its turn is behind the others that wait."""
        held_few = self._holds_few(caller)
        self._free -= slots
        caller.holds += slots
        holds_few = self._holds_few(caller)
        if slots > 0 or held_few != holds_few or not caller.waiting:
            self._turns[held_few].pop(caller.key, None)
        if caller.waiting:
            self._turns[holds_few][caller.key] = caller

    def _holds_few(self, caller: _Caller) -> bool:
        return caller.holds < self._share.few

    def _forget(self, caller: _Caller) -> None:
        if not caller.holds and not caller.waiting:
            self._callers.pop(caller.key, None)
