"""Priorities: 9 is the most urgent for users, 0 for Celery on Redis. Only this module converts between the two."""

from __future__ import annotations

#: Each priority has a Redis list of its own.
PRIORITY_STEPS = range(10)


def to_broker(priority: int) -> int:
    """Convert a user's priority, 0 to 9, to the broker's."""
    return PRIORITY_STEPS[-1] - priority
