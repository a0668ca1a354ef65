"""Waiting for changes that Postgres announces, without polling."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, is_alive


class JobWatch:
    """Announcements about jobs, from the moment on at which this was opened."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def changed(self, deadline: float | None = None) -> set[UUID]:
        """The jobs whose state or progress has changed. Blocks until there is at least one.

        :param deadline: the ``time.monotonic()`` after which to return an empty set; ``None`` waits for ever.
        :raises ServiceUnavailable: the connection was lost. Open another watch, and read the jobs again.
        """
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        first = list(self._conn.notifies(timeout=timeout, stop_after=1))
        # Notices that have arrived together are returned together.
        notices = (*first, *self._conn.notifies(timeout=0)) if first else ()
        return {UUID(id_) for notice in notices for id_ in notice.payload.split(",")}


class Notifications:
    """The part of the ledger that listens.

    It keeps one connection for the next caller, because opening one takes longer than a small job.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._spare: list[tuple[ExitStack, Connection]] = []
        self._sparing = threading.Lock()

    @contextmanager
    def jobs(self) -> Iterator[JobWatch]:
        """Listen for changes of jobs. Read the jobs after this call, so that no change is missed in between."""
        with self._sparing:
            reused = self._spare.pop() if self._spare else None
        stack, conn = reused or self._open()
        with ExitStack() as closing:
            closing.push(stack)
            if reused is not None and not is_alive(conn):
                closing.close()
                stack, conn = self._open()
                closing.push(stack)
            with self._database.translated():
                conn.execute(statements.channels.LISTEN_JOBS)
                yield JobWatch(conn)
                # Notices that nobody reads would pile up.
                conn.execute(statements.channels.UNLISTEN)
            with self._sparing:
                if not self._spare:
                    self._spare.append((stack, conn))
                    closing.pop_all()

    def close(self) -> None:
        """Close the connection."""
        with self._sparing:
            spare, self._spare = self._spare, []
        for stack, _ in spare:
            stack.close()

    def _open(self) -> tuple[ExitStack, Connection]:
        stack = ExitStack()
        return stack, stack.enter_context(self._database.own_connection())
