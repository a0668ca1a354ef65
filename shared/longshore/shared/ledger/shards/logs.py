"""The logs of attempts: what each has said while it ran, bounded in size.

They are rows and not blobs of the store: lines are added while the attempt runs, row security applies to them, and they
are pruned with the results of their job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, records
from longshore.shared.ledger.postgres.repeating import repeat_read
from longshore.shared.ledger.records import AttemptId
from longshore.shared.ledger.shards.transitions import claim_key

#: Characters that are kept of the beginning and of the end of a log. What is between is left out.
MAX_HEAD_CHARS: Final = 64 * 1024
MAX_TAIL_CHARS: Final = 192 * 1024
#: Characters of a part, at most, but for a single line.
MAX_PART_CHARS: Final = 16 * 1024
#: Parts that are read at once.
PARTS_PER_PAGE: Final = 64


@dataclass(frozen=True)
class NewLogPart:
    """Some lines to add to a log, each with its line break."""

    #: Characters of the log before them, with those that were left out.
    start: int
    text: str

    @property
    def stop(self) -> int:
        """Where the next part begins."""
        return self.start + len(self.text)


@dataclass(frozen=True)
class LogPart:
    """Some lines of the log of an attempt."""

    shard: int
    attempt: int
    start: int
    text: str
    written_at: datetime

    @property
    def key(self) -> tuple[int, int, int]:
        """Parts are ordered by it."""
        return self.shard, self.attempt, self.start


class Logs:
    """The part of the ledger with the logs of attempts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @repeat_read
    def add(self, attempt: AttemptId, parts: Sequence[NewLogPart]) -> None:
        """Add to the log of an attempt, and remove the middle of a log that has grown too long."""
        if not parts:
            return
        values = {
            **claim_key(attempt),
            "starts": [part.start for part in parts],
            "texts": [part.text for part in parts],
        }
        too_long = parts[-1].stop - MAX_TAIL_CHARS
        with self._database.transaction() as conn:
            conn.execute(statements.shards.logs.ADD_LOG_PARTS, values)
            if too_long > MAX_HEAD_CHARS:
                middle = {**claim_key(attempt), "first": MAX_HEAD_CHARS, "last": too_long}
                conn.execute(statements.shards.logs.DELETE_LOG_PARTS, middle)

    @repeat_read
    def add_end(self, attempt: AttemptId, text: str) -> None:
        """Add the last lines to the log of an attempt whose process has ended, each with its line break."""
        with self._database.connection() as conn:
            conn.execute(statements.shards.logs.ADD_LOG_END, {**claim_key(attempt), "text": text})

    @repeat_read
    def parts(
        self,
        job: UUID,
        *,
        shard: int | None,
        attempt: int | None,
        after: tuple[int, int, int],
        since: datetime,
    ) -> list[LogPart]:
        """At most :data:`PARTS_PER_PAGE` parts of the logs of a job, by shard, attempt and start.

        :param shard: of this one only; ``None`` for all.
        :param attempt: with this number only; ``None`` for all.
        :param after: shard, attempt and start of the last part of the page before.
        :param since: only parts that were written later.
        """
        values = {
            **{"job": job, "shard": shard, "attempt": attempt, "since": since, "limit": PARTS_PER_PAGE},
            **dict(zip(("after_shard", "after_attempt", "after_start"), after, strict=True)),
        }
        with self._database.connection() as conn:
            return records(conn, LogPart).execute(statements.shards.logs.LIST_LOG_PARTS, values).fetchall()
