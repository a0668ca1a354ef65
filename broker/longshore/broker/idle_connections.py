"""The connections to Redis that this process does not use right now: closed together once one of them was silent.

What makes a connection silent, such as a gateway that forgets it, usually does so to all of a process. Each of them
would cost whoever uses it next a timeout of its own, one after the other.
"""

from __future__ import annotations

from contextlib import suppress
from weakref import WeakSet

from redis import ConnectionPool
from redis.exceptions import RedisError

_POOLS: WeakSet[ConnectionPool] = WeakSet()


def register(pool: ConnectionPool) -> ConnectionPool:
    """Have :func:`close_idle` close the connections of a pool too. Returns the pool."""
    _POOLS.add(pool)
    return pool


def close_idle() -> None:
    """Close what no thread uses now. A pool opens another connection when it needs one."""
    for pool in list(_POOLS):
        with suppress(RedisError, OSError):
            pool.disconnect(inuse_connections=False)
