"""Repeating what Postgres has rolled back, and what was cut off before its answer came."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterator
from typing import Final, ParamSpec, TypeVar

from longshore.shared.ledger.postgres.errors import ConnectionLost, RolledBack

#: How often a transaction that was rolled back is tried.
MAX_TRIES: Final = 6
#: Seconds before it is tried again, at first; twice as long each time, and varied so that two do not meet again.
FIRST_PAUSE_S: Final = 0.02
#: How often a read is tried whose connection was lost.
MAX_READS: Final = 3
#: How often a transaction is tried whose connection was lost, and the seconds between two tries at first and at most:
#: together more than a restart of Postgres takes.
LOST_TRIES: Final = 8
LOST_PAUSE_S: Final = 0.1
LOST_LONGEST_PAUSE_S: Final = 5.0

P = ParamSpec("P")
T = TypeVar("T")


def repeat_rolled_back(function: Callable[P, T]) -> Callable[P, T]:
    """Call a function again whose one transaction was rolled back: a deadlock, a cancelled statement, a time-out.

    For functions that have no effect outside the transaction.

    :raises RolledBack: it was rolled back each time.
    """

    @functools.wraps(function)
    def repeated(*args: P.args, **keywords: P.kwargs) -> T:
        for pause in pauses(MAX_TRIES):
            try:
                return function(*args, **keywords)
            except RolledBack:
                time.sleep(pause)
        return function(*args, **keywords)

    return repeated


def repeat_read(function: Callable[P, T]) -> Callable[P, T]:
    """Call a function again that changes nothing, or the same thing each time, if its connection was lost.

    :raises ConnectionLost: it was lost each time.
    """
    again = repeat_rolled_back(function)

    @functools.wraps(function)
    def repeated(*args: P.args, **keywords: P.kwargs) -> T:
        for _ in range(MAX_READS - 1):
            try:
                return again(*args, **keywords)
            except ConnectionLost:
                pass
        return again(*args, **keywords)

    return repeated


def pauses(tries: int, first: float = FIRST_PAUSE_S, longest: float = 1.0) -> Iterator[float]:
    """The seconds between so many tries."""
    for number in range(tries - 1):
        yield min(first * 2**number, longest) * random.uniform(0.5, 1.5)


def pauses_after_loss() -> Iterator[float]:
    """The seconds between the tries of a transaction whose connection was lost."""
    return pauses(LOST_TRIES, LOST_PAUSE_S, LOST_LONGEST_PAUSE_S)
