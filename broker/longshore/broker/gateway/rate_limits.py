"""Counting what callers use, in Redis, for all gateways together.

A limit is a bucket that holds as much as may be used in its window, and is filled evenly: whoever has used nothing for
a window may use all of it at once.

    longshore:rate:BUCKET    hash: ``left``, what could be used ``at`` a time; expires when the bucket is full again
    longshore:settle:NAME    set of the ids of jobs whose tokens are not counted yet; expires a week after the last
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, cast

from longshore.broker.redis_address import RedisAddress
from longshore.broker.redis_errors import RedisUnavailable, redis_errors

if TYPE_CHECKING:
    from redis.commands.core import AsyncScript

T = TypeVar("T")

KEY: Final = "longshore:rate:"
UNSETTLED_KEY: Final = "longshore:settle:"
#: Seconds that Redis may take to count. It is on the way of each request.
ANSWER_TIMEOUT_S: Final = 0.25
#: Seconds for which Redis is not asked after it has not answered.
AVOID_S: Final = 1.0
#: Seconds for which a job is remembered whose tokens are not counted yet.
UNSETTLED_TTL_S: Final = 7 * 86400
#: Jobs that are settled at once.
MAX_SETTLED: Final = 1000
#: Buckets that a process keeps itself while Redis is away.
_MAX_LOCAL: Final = 10_000
#: Takes ``cost`` out of a bucket if it holds ``need``. Answers whether it did, and what is left.
_TAKE: Final = """
local capacity, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local need, cost = tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local saved = redis.call('HMGET', KEYS[1], 'left', 'at')
local left, at = tonumber(saved[1] or capacity), tonumber(saved[2] or now)
if now < at then -- the clock of Redis was set back: the bucket fills from now on
    at = now
    redis.call('HSET', KEYS[1], 'left', string.format('%.6f', left), 'at', string.format('%.6f', at))
end
left = math.min(capacity, left + (now - at) * capacity / window)
local taken = 0
if left >= need then
    left, taken = left - cost, 1
    redis.call('HSET', KEYS[1], 'left', string.format('%.6f', left), 'at', string.format('%.6f', now))
    redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - left) * window / capacity * 1000) + 1000)
end
return {taken, string.format('%.6f', left)}
"""


@dataclass(frozen=True)
class Bucket:
    """A limit, and what it is for.

    :param key: of what is counted, such as ``requests:TOKEN``.
    :param capacity: how much may be used in a window.
    :param window_s: seconds.
    """

    key: str
    capacity: int
    window_s: int


@dataclass(frozen=True)
class BucketLevel:
    """How full a bucket is.

    :param taken: whether there was enough.
    :param left: what can still be used; below zero after something was used whose amount was not known before.
    """

    bucket: Bucket
    taken: bool
    left: float

    def seconds_until(self, amount: float) -> float:
        """Seconds until so much can be used."""
        missing = min(amount, self.bucket.capacity) - self.left
        return max(0.0, missing * self.bucket.window_s / self.bucket.capacity)


class RateLimits:
    """The buckets, in one event loop. While Redis is away each process counts for itself, and nothing fails."""

    def __init__(self, address: RedisAddress) -> None:
        self._redis = address.async_client()
        self._prefix = address.prefix
        self._take: AsyncScript = self._redis.register_script(_TAKE)
        self._avoid_until = 0.0
        self._local: dict[str, tuple[float, float]] = {}

    async def take(self, bucket: Bucket, cost: float, *, need: float | None = None) -> BucketLevel:
        """Use some of a bucket, if there is enough.

        :param need: how much it must hold. Default: ``cost``.
        """
        need = cost if need is None else need
        try:
            taken, left = cast(
                "tuple[int, bytes]",
                await self._ask(
                    self._take(
                        keys=[f"{self._prefix}{KEY}{bucket.key}"], args=[bucket.capacity, bucket.window_s, need, cost]
                    )
                ),
            )
        except RedisUnavailable:
            return self._take_here(bucket, cost, need)
        return BucketLevel(bucket, bool(taken), float(left))

    async def add_unsettled(self, name: str, jobs: Sequence[str]) -> None:
        """Remember jobs whose tokens are to be counted when they have ended. While Redis is away, they are not."""
        key = self._unsettled_key(name)
        with suppress(RedisUnavailable):
            await self._ask(self._redis.sadd(key, *jobs))
            await self._ask(self._redis.expire(key, UNSETTLED_TTL_S))

    async def unsettled(self, name: str) -> list[str]:
        """Some of the jobs whose tokens are not counted yet."""
        found = cast("Awaitable[list[bytes]]", self._redis.srandmember(self._unsettled_key(name), MAX_SETTLED))
        try:
            return [job.decode() for job in await self._ask(found)]
        except RedisUnavailable:
            return []

    async def settle(self, name: str, job: str) -> bool:
        """Say that the tokens of a job are counted. Returns whether the caller is the one to count them."""
        try:
            return await self._ask(self._redis.srem(self._unsettled_key(name), job)) == 1
        except RedisUnavailable:
            return False

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _ask(self, answer: Awaitable[T]) -> T:
        """:raises RedisUnavailable: Redis has not answered in time, or did not a moment ago."""
        if time.monotonic() < self._avoid_until:
            if asyncio.iscoroutine(answer):
                answer.close()
            raise RedisUnavailable("Redis did not answer a moment ago")
        try:
            with redis_errors():
                return await asyncio.wait_for(answer, ANSWER_TIMEOUT_S)
        except (RedisUnavailable, TimeoutError) as error:
            self._avoid_until = time.monotonic() + AVOID_S
            raise RedisUnavailable(f"Redis: {error}") from None

    def _unsettled_key(self, name: str) -> str:
        return f"{self._prefix}{UNSETTLED_KEY}{name}"

    def _take_here(self, bucket: Bucket, cost: float, need: float) -> BucketLevel:
        now = time.monotonic()
        left, at = self._local.pop(bucket.key, (float(bucket.capacity), now))
        left = min(bucket.capacity, left + (now - at) * bucket.capacity / bucket.window_s)
        taken = left >= need
        if taken:
            left -= cost
        self._local[bucket.key] = (left, now)
        if len(self._local) > _MAX_LOCAL:
            del self._local[next(iter(self._local))]
        return BucketLevel(bucket, taken, left)
