"""The shard that a worker runs next: it is claimed, and read, while the last batches of the present one are computed.

At most one is held so, and only of the same job. Its own ticket finds it claimed, and is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from longshore.shared.ledger.records import Claim
from longshore.workers.process.heartbeat import Heartbeat

if TYPE_CHECKING:
    from longshore.workers.inputs.shard_reader import Reading


@dataclass(frozen=True)
class Held:
    """A shard that is claimed and not run yet."""

    claim: Claim
    #: Renews its lease already.
    beat: Heartbeat
    #: ``None`` where it could not be begun: who runs the shard meets the reason.
    reading: Reading | None

    def close(self) -> None:
        """Stop reading and renewing."""
        if self.reading is not None:
            self.reading.windows.close()
        self.beat.stop()


class Upcoming:
    """One worker's next shard. Used by the thread that computes."""

    def __init__(self) -> None:
        self._looking: threading.Thread | None = None
        self._held: Held | None = None
        self._reading: tuple[str, Reading] | None = None

    def begin(self, find: Callable[[], Held | None]) -> None:
        """Look for a shard in a thread; does nothing where that was done since the last :meth:`take`."""
        if self._looking is not None:
            return

        def look() -> None:
            self._held = find()

        self._looking = threading.Thread(target=look, name="next shard", daemon=True)
        self._looking.start()

    def take(self) -> Held | None:
        """The shard that was found, if any; the caller runs or releases it, and closes it."""
        if self._looking is None:
            return None
        self._looking.join()
        held, self._held, self._looking = self._held, None, None
        self._reading = None if held is None or held.reading is None else (held.claim.token, held.reading)
        return held

    def begun(self, claim: Claim) -> Reading | None:
        """What is read already of a shard that was taken here; once."""
        found, self._reading = self._reading, None
        return found[1] if found is not None and found[0] == claim.token else None
