"""Counting without Redis: each process for itself, and no error."""

from __future__ import annotations

import asyncio

from longshore.broker.gateway.rate_limits import Bucket, RateLimits
from longshore.broker.redis_address import parse_redis_url


def test_without_redis_a_process_counts_for_itself() -> None:
    bucket = Bucket("requests:a", 2, 86400)

    async def use() -> list[bool]:
        limits = RateLimits(parse_redis_url("redis://127.0.0.1:1/0"))
        levels = [await limits.take(bucket, 1) for _ in range(3)]
        other = await limits.take(Bucket("requests:b", 2, 86400), 1)
        assert 43_000 < levels[-1].seconds_until(1) <= 43_200
        assert await limits.unsettled("a") == []
        await limits.add_unsettled("a", ["job"])
        assert not await limits.settle("a", "job")
        await limits.close()
        return [*(level.taken for level in levels), other.taken]

    assert asyncio.run(use()) == [True, True, False, True]
