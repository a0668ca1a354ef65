"""Priorities: 9 is the most urgent for our users, 0 for Celery on Redis. Nothing else translates between the two."""

from __future__ import annotations

#: One Redis list each, so that no two priorities share one.
STEPS = range(10)


def to_broker(priority: int) -> int:
    """A user's priority, 0 to 9, as the broker counts."""
    return STEPS[-1] - priority
