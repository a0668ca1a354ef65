"""Waiting for changes that Postgres announces, without polling the tables.

However many wait in a process, one thread listens for all of them, on one connection. It starts with the first who
waits, and ends a while after the last.
"""

from __future__ import annotations

import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final, TypeAlias
from uuid import UUID

import psycopg

from longshore.shared import forks
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database
from longshore.shared.ledger.postgres.connection import PROBE_TIMEOUT_S, LedgerConnection, is_alive
from longshore.shared.ledger.postgres.errors import ConnectionLost

#: Seconds of silence after which Postgres is asked whether it is still there. A connection whose other end is gone
#: looks like one on which nothing is announced.
SILENCE_S: Final = 5.0
#: Seconds for which the connection is kept when nobody waits: opening one takes longer than a small job.
KEEP_S: Final = 30.0

#: The jobs whose state or progress has changed; or why nothing more will be heard.
Heard: TypeAlias = set[UUID] | ServiceUnavailable
Tell: TypeAlias = Callable[[Heard], None]


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

    def fileno(self) -> int:
        """The socket, which can be read when something is announced."""
        return self._conn.fileno()

    def check(self) -> None:
        """Ask Postgres whether it is still there.

        :raises ConnectionLost: it does not answer.
        """
        if not is_alive(self._conn):
            raise ConnectionLost(f"Postgres at {self._address} has not answered in {PROBE_TIMEOUT_S:g} s")
        self._asked_at = time.monotonic()


class JobWatch:
    """Announcements about jobs, from the moment on at which this was opened."""

    def __init__(self) -> None:
        self._heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()

    def tell(self, heard: Heard) -> None:
        """Called by the thread that listens."""
        self._heard.put(heard)

    def changed(self, deadline: float | None = None) -> set[UUID]:
        """The jobs whose state or progress has changed. Blocks until there is at least one.

        :param deadline: the ``time.monotonic()`` after which to return an empty set; ``None`` waits for ever.
        :raises ServiceUnavailable: the connection was lost. Open another watch, and read the jobs again.
        """
        found: set[UUID] = set()
        try:
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
            heard = self._heard.get(timeout=timeout)
            while True:
                if isinstance(heard, ServiceUnavailable):
                    raise heard
                found |= heard
                heard = self._heard.get_nowait()
        except queue.Empty:
            return found


class Notifications:
    """The part of the ledger that listens."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._ear: _Ear | None = None
        forks.call_after_fork(self)

    @contextmanager
    def jobs(self) -> Iterator[JobWatch]:
        """Listen for changes of jobs. Read the jobs after this call, so that no change is missed in between."""
        watch = JobWatch()
        with self.listening(watch.tell):
            yield watch

    @contextmanager
    def listening(self, tell: Tell) -> Iterator[None]:
        """As :meth:`jobs`, for callers with a loop of their own.

        :param tell: is called by another thread, and must return at once; never again after a ServiceUnavailable.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        with self._lock:
            ear = self._ear
            if ear is None or not ear.add(tell):
                ear = self._ear = _Ear(self._database, tell)
                ear.start()
        ear.wait_until_it_listens()
        try:
            yield
        finally:
            if self._ear is ear:  # and not a child of a fork, in which its thread does not exist
                ear.remove(tell)

    def tickets(self, conn: LedgerConnection) -> Listener:
        """Listen on a connection of the caller for shards that wait to be published."""
        conn.execute(statements.sessions.LISTEN_TICKETS)
        return Listener(conn, self._database.address)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            ear, self._ear = self._ear, None
        if ear is not None:
            ear.stop()

    def forget_parent(self) -> None:
        """In a forked child: see :mod:`longshore.shared.forks`."""
        forks.keep(self._ear)
        self._lock = threading.Lock()
        self._ear = None


class _Ear(threading.Thread):
    """Listens, and tells those who have asked.

    :param first: the first of them.
    """

    def __init__(self, database: Database, first: Tell) -> None:
        super().__init__(name="longshore notifications", daemon=True)
        self._database = database
        self._lock = threading.Lock()
        self._tells: list[Tell] = [first]
        self._ended = False
        self._listens: Future[None] = Future()
        self._asleep, self._wake = socket.socketpair()

    def add(self, tell: Tell) -> bool:
        """Tell somebody more. Returns whether this thread still listens."""
        with self._lock:
            if not self._ended:
                self._tells.append(tell)
            return not self._ended

    def remove(self, tell: Tell) -> None:
        """Tell somebody no more."""
        with self._lock:
            if tell in self._tells:
                self._tells.remove(tell)

    def wait_until_it_listens(self) -> None:
        """:raises ServiceUnavailable: it cannot, and has ended."""
        self._listens.result()

    def stop(self) -> None:
        """End, and return when it has."""
        with self._lock:
            if not self._ended:
                self._ended = True
                self._wake.send(b"x")
        self.join()

    def run(self) -> None:
        """Listen until nobody has asked for :data:`KEEP_S`, :meth:`stop` is called, or the connection is lost."""
        reason = ServiceUnavailable("the client was closed")
        try:
            with self._database.own_connection() as conn:
                conn.execute(statements.sessions.LISTEN_JOBS)
                self._listens.set_result(None)
                self._listen(conn)
        except ServiceUnavailable as error:
            reason = error
        finally:
            self._end(reason)

    def _listen(self, conn: LedgerConnection) -> None:
        listener = Listener(conn, self._database.address)
        wanted_at = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(conn.fileno(), selectors.EVENT_READ)
            selector.register(self._asleep, selectors.EVENT_READ)
            while True:
                notices = listener.wait(0.0)
                changed = set().union(*map(_ids, notices))
                with self._lock:
                    for tell in self._tells if changed else ():
                        tell(changed)
                    if self._tells:
                        wanted_at = time.monotonic()
                    elif time.monotonic() > wanted_at + KEEP_S:
                        self._ended = True
                    if self._ended:
                        return
                if not notices:
                    selector.select(SILENCE_S)

    def _end(self, reason: ServiceUnavailable) -> None:
        with self._lock:
            self._ended = True
            tells, self._tells = self._tells, []
            self._asleep.close()
            self._wake.close()
        if not self._listens.done():
            self._listens.set_exception(reason)
        for tell in tells:
            tell(reason)


def _ids(notice: psycopg.Notify) -> set[UUID]:
    """The jobs that an announcement names. Everybody with a login can announce anything."""
    try:
        return {UUID(id_) for id_ in notice.payload.split(",")}
    except ValueError:
        return set()
