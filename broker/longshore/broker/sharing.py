"""Notices that two clusters use the same keys of one Redis, and so take each other's tickets.

The relay that leads keeps a key with the identity of its cluster:

    longshore:cluster    string, the identity of the database; expires in MARK_TTL_S
"""

from __future__ import annotations

from typing import Final

from longshore.broker.redis_address import RedisAddress
from longshore.broker.redis_errors import redis_errors

#: Seconds until the mark of a cluster that is gone, or was restored elsewhere, no longer counts.
MARK_TTL_S: Final = 30
_KEY: Final = "longshore:cluster"
#: What is wrong, and the remedy.
ADVICE: Final = (
    "another cluster uses the same database of this Redis, and both take each other's tickets; give one of them "
    "another database number, or a prefix: redis://.../0?prefix=NAME:"
)


class OtherCluster:
    """Whether another cluster uses the keys of this one.

    :param identity: that of this cluster's database.
    """

    def __init__(self, address: RedisAddress, identity: str) -> None:
        self._redis = address.client(decode_responses=True)
        self._key = address.prefix + _KEY
        self._identity = identity

    def mark(self) -> str | None:
        """Leave or renew the mark of this cluster; for the relay that leads.

        :returns: what is wrong, if another cluster has left its mark.
        :raises ServiceUnavailable: Redis cannot be reached.
        """
        with redis_errors():
            if self._redis.set(self._key, self._identity, nx=True, ex=MARK_TTL_S):
                return None
            # None: it has expired, or was lost, since.
            if self._redis.get(self._key) not in (None, self._identity):
                return ADVICE
            self._redis.expire(self._key, MARK_TTL_S)
        return None

    def find(self) -> str | None:
        """As :meth:`mark`, without leaving one."""
        with redis_errors(), self._redis:
            return None if self._redis.get(self._key) in (None, self._identity) else ADVICE
