"""After a call that waited in vain, Redis is left alone for some seconds."""

from __future__ import annotations

import pytest

from longshore.broker.circuit_breaker import OPEN_S, SLOW_S, CircuitBreaker
from longshore.broker.redis_errors import RedisUnavailable


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def fail(breaker: CircuitBreaker, clock: Clock, seconds: float) -> None:
    def call() -> None:
        with breaker.call():
            clock.now += seconds
            raise RedisUnavailable("away")

    with pytest.raises(RedisUnavailable, match="away"):
        call()


def test_a_slow_failure_spares_the_next_calls_for_a_while() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    fail(breaker, clock, SLOW_S)
    with pytest.raises(RedisUnavailable, match="a moment ago"), breaker.call():
        raise AssertionError("Redis was asked")
    clock.now += OPEN_S
    with breaker.call():
        pass


def test_a_quick_failure_spares_nothing() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    fail(breaker, clock, SLOW_S / 2)
    with breaker.call():
        pass
