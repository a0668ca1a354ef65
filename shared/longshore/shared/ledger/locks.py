"""The numbers of the advisory locks, in one place so that none is used twice, and how migrations wait for locks."""

from __future__ import annotations

from typing import Final

#: Locked while migrations run.
MIGRATION_LOCK = 0x4C4F4E47_0001
#: Locked by the one relay that leads.
RELAY_LOCK = 0x4C4F4E47_0002
#: Locked by the one prune that removes old results.
PRUNE_LOCK = 0x4C4F4E47_0003

#: How often what changes the tables or their rights asks for its locks, for how many seconds each time, and seconds
#: between two times.
LOCK_ATTEMPTS: Final = 100
LOCK_TIMEOUT_S: Final = 2.0
RETRY_INTERVAL_S: Final = 1.0


def lock_halves(lock: int) -> dict[str, int]:
    """The two numbers under which Postgres lists a lock, as parameters of a statement."""
    return {"high": lock >> 32, "low": lock & 0xFFFF_FFFF}
