"""How closely small shards follow each other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.batching import is_full
from longshore.workers.process.draining import Draining

#: Seconds that a message of small shards is left lying while many come.
PAUSE: Final = 0.04
#: Seconds after a group of several in which more are expected.
BUSY: Final = 0.1


class Pace:
    """Whether small shards come faster than one by one. Each claim and commit then waits for some more to share it.

    The first shards after a while are not held up, and neither are groups that are full without a wait.
    """

    def __init__(self) -> None:
        self._busy_until = 0.0

    def pause(self, draining: Draining) -> None:
        """Before a message is answered: those who come meanwhile need none of their own."""
        if time.monotonic() < self._busy_until:
            draining.wait(PAUSE)

    def ran(self, claims: Sequence[Claim]) -> None:
        """So many were claimed together."""
        if len(claims) > 1 and not is_full(len(claims), sum(claim.stop - claim.start for claim in claims)):
            self._busy_until = time.monotonic() + BUSY
