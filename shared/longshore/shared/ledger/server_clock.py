"""Steps of Postgres' clock, by which all times go: noticed by the relay, which mends what would wait for them.

A step is what happens when an administrator sets the clock, a virtual machine goes on after a pause, or a standby with
another time takes over. Small differences are left: they cost no more than they last.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database
from longshore.shared.ledger.postgres.repeating import repeat_rolled_back

#: The longest that reading the clock may take, in seconds. A later answer says too little; so many are asked for.
MAX_READ_S = 0.5
MAX_READS = 3
#: Queued shards that are mended in one transaction.
MAX_MENDED = 5000


class ServerClock:
    """Compares the clock of Postgres with one that nobody sets.

    :param clock: seconds on that clock.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._ahead: float | None = None

    def step(self, conn: Connection) -> float:
        """Seconds by which the clock was set forward since the last call, below 0 if it was set back; 0 if it was not.

        A pause of this machine, in which its own clock stands still, looks like a step forward.
        """
        for _ in range(MAX_READS):
            start = self._clock()
            row = conn.execute(statements.clock.READ_CLOCK).fetchone()
            if row is not None and self._clock() - start <= MAX_READ_S:
                before, self._ahead = self._ahead, float(row[0]) - start
                step = 0.0 if before is None else self._ahead - before
                return step if abs(step) >= statements.clock.MIN_STEP_S else 0.0
        return 0.0  # the next call finds it

    @repeat_rolled_back
    def mend(self, step: float) -> None:
        """Let no attempt be lost, and nothing count as missing for long, by a step alone. Repeating it is harmless.

        :param step: see :meth:`step`.
        """
        with self._database.transaction() as conn:
            if step > 0:
                conn.execute(statements.clock.EXTEND_LEASES, {"step": step})
            conn.execute(statements.clock.LOOK_AGAIN)

    @repeat_rolled_back
    def shorten_leases(self, limit: int | None) -> None:
        """Let no lease go on for longer than it was granted for because the clock was set back since.

        :param limit: how many leases are looked at, the longest; ``None`` for all.
        """
        with self._database.transaction() as conn:
            conn.execute(statements.clock.SHORTEN_LEASES, {"limit": limit})

    @repeat_rolled_back
    def forget_future(self, limit: int = MAX_MENDED) -> bool:
        """Let no queued shard wait for a time that is in the future by a step back only.

        :param limit: the most shards that are changed.
        :returns: whether there may be more.
        """
        with self._database.transaction() as conn:
            return conn.execute(statements.clock.FORGET_FUTURE, {"limit": limit}).rowcount >= limit
