"""The connections to Redis that this process does not use right now: closed together once one of them was silent.

What makes a connection silent, such as a gateway that forgets it, usually does so to all of a process. Each of them
would cost whoever uses it next a timeout of its own, one after the other.
"""

from __future__ import annotations

from contextlib import suppress
from weakref import WeakValueDictionary

from redis import ConnectionPool
from redis.exceptions import RedisError

#: By their ids. Threads add pools while others go through them.
_POOLS: WeakValueDictionary[int, ConnectionPool] = WeakValueDictionary()


def register(pool: ConnectionPool) -> ConnectionPool:
    """Have :func:`close_idle` close the connections of a pool too. Returns the pool."""
    _POOLS[id(pool)] = pool
    return pool


def close_idle() -> None:
    """Close what no thread uses now. A pool opens another connection when it needs one."""
    for found in _POOLS.valuerefs():  # copied in one step, unlike the values
        pool = found()
        if pool is not None:
            with suppress(RedisError, OSError):
                pool.disconnect(inuse_connections=False)
