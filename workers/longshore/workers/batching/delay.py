"""Delays the claim of small shards while many of them arrive."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.batching import is_full
from longshore.workers.process.draining import Draining

#: Seconds that a message of small shards waits at most while many arrive.
MAX_DELAY_S: Final = 0.04
#: Seconds after a batch of several shards in which more are expected.
BUSY_S: Final = 0.1


class BatchDelay:
    """Waits a moment before a claim if small shards arrive faster than one by one, so that more of them share it.

    It waits as long as the batch before took: so nobody waits longer than the work takes, and what comes meanwhile is
    spared a batch of its own. The first shards after a quiet time do not wait, and neither do batches that are full
    without a wait.
    """

    def __init__(self) -> None:
        self._busy_until = 0.0
        self._delay_s = 0.0

    def wait(self, draining: Draining) -> None:
        """Wait before a message's key is released: shards that arrive meanwhile need no message of their own."""
        if time.monotonic() < self._busy_until:
            draining.wait(self._delay_s)

    def record(self, claims: Sequence[Claim], seconds: float) -> None:
        """Record the claims of one message, and the time from their claim to the end of their computation."""
        if len(claims) > 1 and not is_full(len(claims), sum(claim.stop - claim.start for claim in claims)):
            self._busy_until = time.monotonic() + BUSY_S
            self._delay_s = min(seconds, MAX_DELAY_S)
