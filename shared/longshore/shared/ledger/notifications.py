"""Waiting for what Postgres announces, without asking it again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, is_alive


class JobWatch:
    """Announcements about jobs, from the moment it was opened."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def changed(self, deadline: float | None = None) -> set[UUID]:
        """The jobs whose state or progress changed; sleeps until there is one.

        :param deadline: ``time.monotonic()`` after which to return an empty set; ``None`` waits for ever.
        :raises ServiceUnavailable: the connection broke. Open another watch, and look at the jobs once again.
        """
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        first = list(self._conn.notifies(timeout=timeout, stop_after=1))
        # Whatever has arrived together is handled together.
        notices = (*first, *self._conn.notifies(timeout=0)) if first else ()
        return {UUID(id_) for notice in notices for id_ in notice.payload.split(",")}


class Notifications:
    """The part of the ledger that listens.

    It keeps the connection that was used last: to open one takes longer than a small job does.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._spare: list[tuple[ExitStack, Connection]] = []
        self._sparing = threading.Lock()

    @contextmanager
    def jobs(self) -> Iterator[JobWatch]:
        """Listen for jobs. Read what they are now only after this, so that no change falls in between."""
        with self._sparing:
            held = self._spare.pop() if self._spare else None
        stack, conn = held or self._open()
        with ExitStack() as closing:
            closing.push(stack)
            if held is not None and not is_alive(conn):
                closing.close()
                stack, conn = self._open()
                closing.push(stack)
            with self._database.translated():
                conn.execute(statements.channels.LISTEN_JOBS)
                yield JobWatch(conn)
                # What is announced while nobody reads would pile up.
                conn.execute(statements.channels.UNLISTEN)
            with self._sparing:
                if not self._spare:
                    self._spare.append((stack, conn))
                    closing.pop_all()

    def close(self) -> None:
        """Give the connection back."""
        with self._sparing:
            spare, self._spare = self._spare, []
        for stack, _ in spare:
            stack.close()

    def _open(self) -> tuple[ExitStack, Connection]:
        stack = ExitStack()
        return stack, stack.enter_context(self._database.own_connection())
