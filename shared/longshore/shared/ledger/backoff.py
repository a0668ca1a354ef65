"""When a shard that was handed back, or whose attempt failed, runs again: exponential back-off with full jitter.

The pause before a try is a random share of a bound that doubles with each try. Shards that meet the same outage so come
back spread over time. Only publishing waits for that time: a ticket that is still in Redis leads to an earlier try,
which does no harm.
"""

from __future__ import annotations

from typing import Final

#: The bound of the pause after the first outage, and what the second failure adds, in seconds.
FIRST_PAUSE_S: Final = 1.0
FAILURE_PAUSE_S: Final = 0.25
#: The largest bound, in seconds.
MAX_PAUSE_S: Final = 60.0
#: Seconds for which something must be missing before it counts as gone. Every look meanwhile has found it missing,
#: while the place where it should be was there.
MISSING_GRACE_S: Final = 5.0
#: The largest exponent: larger powers would overflow.
_MAX_DOUBLINGS: Final = 16

#: The condition on a shard that may run now.
DUE: Final = "(not_before IS NULL OR not_before <= now())"


def after_outage(outages: str) -> str:
    """The time of the next try after an outage, as an expression of SQL.

    :param outages: an expression: how many outages there were before.
    """
    return _later(f"{FIRST_PAUSE_S} * 2 ^ least({outages}, {_MAX_DOUBLINGS})")


def after_failure(attempt: str) -> str:
    """The time of the next attempt after one that failed, as an expression of SQL. The second is at once.

    :param attempt: an expression: the number of the attempt that failed, from 1.
    """
    return _later(f"{FAILURE_PAUSE_S} * (2 ^ least({attempt} - 1, {_MAX_DOUBLINGS}) - 1)")


def _later(bound: str) -> str:
    return f"now() + make_interval(secs => random() * least({MAX_PAUSE_S}, {bound}))"
