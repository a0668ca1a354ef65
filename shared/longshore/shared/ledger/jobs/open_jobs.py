"""A limit of the jobs of a producer that have not ended, which holds for whoever submits with it."""

from __future__ import annotations

from dataclasses import dataclass

from longshore.shared.errors import QueueFull
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection


@dataclass(frozen=True)
class OpenJobsLimit:
    """How many jobs a producer may have that have not ended, when a token with this limit adds one.

    :param max_jobs: how many.
    """

    producer: str
    max_jobs: int

    def check(self, conn: Connection) -> None:
        """Check at the end of a transaction that has added jobs. Those who do so at the same moment, on all gateways,
        take turns.

        :raises QueueFull: there are too many; what was done is to be rolled back.
        """
        conn.execute(statements.gateway.tokens.LOCK_OPEN_JOBS, {"producer": self.producer})
        values = {"producer": self.producer, "limit": self.max_jobs + 1}
        row = conn.execute(statements.gateway.tokens.COUNT_OPEN_JOBS, values).fetchone()
        assert row is not None  # it is one row
        if row[0] > self.max_jobs:
            raise self.refusal()

    def refusal(self) -> QueueFull:
        """The error of whoever would exceed it."""
        return QueueFull(
            "queued_jobs",
            f"this token may submit as long as at most {self.max_jobs:,} jobs of {self.producer} have not ended; "
            "submit again when some have",
        )
