"""Waiting for what Postgres announces, without asking it again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database, Link


class JobWatch:
    """Announcements about jobs, from the moment it was opened."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def changed(self, deadline: float | None = None) -> set[UUID]:
        """The jobs whose state or progress changed; sleeps until there is one.

        :param deadline: ``time.monotonic()`` after which to return an empty set; ``None`` waits for ever.
        :raises ServiceUnavailable: the connection broke. Open another watch, and look at the jobs once again.
        """
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        first = list(self._link.notifies(timeout=timeout, stop_after=1))
        # Whatever has arrived together is handled together.
        return {UUID(notice.payload) for notice in (*first, *self._link.notifies(timeout=0))} if first else set()


class Watching:
    """The part of the ledger that listens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def jobs(self) -> Iterator[JobWatch]:
        """Listen for jobs. Read what they are now only after this, so that no change falls in between."""
        with self._database.own_connection() as link:
            link.execute(f"LISTEN {statements.JOBS_CHANNEL}")
            yield JobWatch(link)
