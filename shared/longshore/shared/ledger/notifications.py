"""Waiting for changes that Postgres announces, without polling the tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final
from uuid import UUID

import psycopg

from longshore.shared import forks
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database
from longshore.shared.ledger.postgres.connection import PROBE_TIMEOUT_S, LedgerConnection, is_alive, works
from longshore.shared.ledger.postgres.errors import ConnectionLost

#: Seconds of silence after which Postgres is asked whether it is still there. A connection whose other end is gone
#: looks like one on which nothing is announced.
SILENCE_S: Final = 5.0


class Listener:
    """A connection that listens, and is not silent for long without being asked."""

    def __init__(self, conn: LedgerConnection, address: str) -> None:
        self._conn = conn
        self._address = address
        self._asked_at = time.monotonic()

    def wait(self, seconds: float) -> Sequence[psycopg.Notify]:
        """What has been announced; empty if nothing was within this time, or within ``SILENCE_S``.

        :raises ConnectionLost: the connection was lost, and perhaps announcements with it.
        """
        silent = max(0.0, self._asked_at + SILENCE_S - time.monotonic())
        first = list(self._conn.notifies(timeout=min(seconds, silent), stop_after=1))
        if first:
            self._asked_at = time.monotonic()
            # Notices that have arrived together are returned together.
            return (*first, *self._conn.notifies(timeout=0))
        if seconds >= silent:
            self.check()
        return ()

    def check(self) -> None:
        """Ask Postgres whether it is still there.

        :raises ConnectionLost: it does not answer.
        """
        if not is_alive(self._conn):
            raise ConnectionLost(f"Postgres at {self._address} has not answered in {PROBE_TIMEOUT_S:g} s")
        self._asked_at = time.monotonic()


class JobWatch:
    """Announcements about jobs, from the moment on at which this was opened."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def changed(self, deadline: float | None = None) -> set[UUID]:
        """The jobs whose state or progress has changed. Blocks until there is at least one.

        :param deadline: the ``time.monotonic()`` after which to return an empty set; ``None`` waits for ever.
        :raises ServiceUnavailable: the connection was lost. Open another watch, and read the jobs again.
        """
        while True:
            seconds = SILENCE_S if deadline is None else max(0.0, deadline - time.monotonic())
            notices = self._listener.wait(seconds)
            if notices or (deadline is not None and time.monotonic() >= deadline):
                return {UUID(id_) for notice in notices for id_ in notice.payload.split(",")}


class Notifications:
    """The part of the ledger that listens.

    It keeps one connection for the next caller, because opening one takes longer than a small job.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._spare: list[tuple[ExitStack, LedgerConnection]] = []
        self._sparing = threading.Lock()
        forks.call_after_fork(self)

    @contextmanager
    def jobs(self) -> Iterator[JobWatch]:
        """Listen for changes of jobs. Read the jobs after this call, so that no change is missed in between."""
        with self._sparing:
            reused = self._spare.pop() if self._spare else None
        if reused is not None and not works(reused[1]):
            reused[0].close()
            reused = None
        stack, conn = reused or self._open()
        with ExitStack() as closing:
            closing.push(stack)
            conn.execute(statements.channels.LISTEN_JOBS)
            yield JobWatch(Listener(conn, self._database.address))
            # Notices that nobody reads would pile up.
            conn.execute(statements.channels.UNLISTEN)
            conn.idle_since = time.monotonic()
            with self._sparing:
                if not self._spare and not conn.abandoned:
                    self._spare.append((stack, conn))
                    closing.pop_all()

    def tickets(self, conn: LedgerConnection) -> Listener:
        """Listen on a connection of the caller for shards that wait to be published."""
        conn.execute(statements.channels.LISTEN_TICKETS)
        return Listener(conn, self._database.address)

    def close(self) -> None:
        """Close the connection."""
        with self._sparing:
            spare, self._spare = self._spare, []
        for stack, _ in spare:
            stack.close()

    def forget_parent(self) -> None:
        """In a forked child: see :mod:`longshore.shared.forks`."""
        for stack, _ in self._spare:
            forks.keep(stack)
        self._spare = []
        self._sparing = threading.Lock()

    def _open(self) -> tuple[ExitStack, LedgerConnection]:
        stack = ExitStack()
        return stack, stack.enter_context(self._database.own_connection())
