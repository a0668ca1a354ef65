"""Spares a producer to wait for a stalled Redis again and again: what it does not publish, the relay publishes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from longshore.broker.redis_errors import RedisUnavailable

#: A failure that took longer than this, in seconds, was a wait.
SLOW_S: Final = 1.0
#: Seconds without another try after such a failure.
OPEN_S: Final = 5.0


class CircuitBreaker:
    """Passes calls on to Redis, but not for some seconds after one that waited in vain.

    :param clock: seconds that pass as on a clock that nobody sets.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._closed_at = float("-inf")

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around a call.

        :raises RedisUnavailable: the call raised it, or another one did a moment ago.
        """
        began = self._clock()
        if began < self._closed_at:
            raise RedisUnavailable("Redis did not answer a moment ago")
        try:
            yield
        except RedisUnavailable:
            now = self._clock()
            if now - began >= SLOW_S:
                self._closed_at = now + OPEN_S
            raise
