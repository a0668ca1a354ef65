"""A small pool of connections, without threads of its own.

A connection is opened by the thread that needs it, so that the thread gets the error if that fails, and a forked child
has nothing to restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus

from longshore.shared import forks
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.postgres.connection import (
    ANSWER_TIMEOUT_S,
    LedgerConnection,
    works,
)

#: The most connections of a client.
MAX_CONNECTIONS: Final = 4
#: Seconds after which an idle connection beyond the first is closed.
MAX_IDLE_S: Final = 600.0
#: Seconds during which lost connections are opened again, so that a restart of Postgres is not an error.
RECONNECT_S: Final = 10.0
#: Seconds between two tries.
RECONNECT_INTERVAL_S: Final = 0.25


class Pool:
    """Connections that threads take in turn. It opens them as they are needed.

    :param connect: opens one.
    :param max_size: the most that are open at once.
    """

    def __init__(self, connect: Callable[[], LedgerConnection], max_size: int) -> None:
        self._connect = connect
        self._max_size = max_size
        self._changed = threading.Condition()
        #: The one that was used last is at the end.
        self._idle: list[LedgerConnection] = []
        self._open = 0
        #: Whether Postgres was reached before, so that not reaching it is an outage and no wrong address.
        self._reached = False
        #: Grows when all connections of before are to be closed.
        self._generation = 0
        forks.call_after_fork(self)

    def take(self) -> LedgerConnection:
        """A connection that works, for the caller alone until it gives it back.

        :raises ServiceUnavailable: others have all connections, and keep them.
        :raises psycopg.Error: Postgres cannot be reached.
        """
        conn = self._take_idle_or_slot()
        try:
            if conn is not None:
                if works(conn):
                    return conn
                conn.close()
                # What has ended one has probably ended all.
                self.close_idle()
            conn = self._open_one()
        except BaseException:
            self._free_slot()
            raise
        conn.generation = self._generation
        return conn

    def give_back(self, conn: LedgerConnection) -> None:
        """Take a connection back. One that is in the middle of something is closed."""
        if conn.abandoned:  # taken before a fork, and given back in the child
            return
        idle = not conn.closed and conn.info.transaction_status is TransactionStatus.IDLE
        if not idle or conn.generation != self._generation:
            conn.close()
            self._free_slot()
            return
        conn.idle_since = time.monotonic()
        with self._changed:
            self._idle.append(conn)
            old = [each for each in self._idle[:-1] if each.idle_since < conn.idle_since - MAX_IDLE_S]
            self._remove(old)
        for each in old:
            each.close()

    @property
    def usage(self) -> tuple[int, int]:
        """How many connections are in use, and how many are idle."""
        with self._changed:
            return self._open - len(self._idle), len(self._idle)

    def close_idle(self) -> None:
        """Close what is idle now."""
        with self._changed:
            idle = list(self._idle)
            self._remove(idle)
        for conn in idle:
            conn.close()

    def renew(self) -> None:
        """Close every connection: the idle ones now, and the others when they are given back."""
        self._generation += 1
        self.close_idle()

    def forget_parent(self) -> None:
        """In a forked child: begin anew. The connections forget the parent themselves."""
        self._changed = threading.Condition()
        self._idle, self._open = [], 0

    def _take_idle_or_slot(self) -> LedgerConnection | None:
        """An idle connection, or ``None`` and the right to open one."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        with self._changed:
            while not self._idle and self._open >= self._max_size:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise ServiceUnavailable(
                        f"Postgres: all {self._max_size} connections of this process were in use for "
                        f"{ANSWER_TIMEOUT_S:g} s; use fewer threads, or more processes"
                    )
            if self._idle:
                return self._idle.pop()
            self._open += 1
            return None

    def _open_one(self) -> LedgerConnection:
        deadline = time.monotonic() + (RECONNECT_S if self._reached else 0.0)
        while True:
            try:
                conn = self._connect()
            except psycopg.OperationalError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(RECONNECT_INTERVAL_S)
            else:
                self._reached = True
                return conn

    def _remove(self, conns: Sequence[LedgerConnection]) -> None:
        """Remove idle connections. The caller holds the lock."""
        self._idle = [each for each in self._idle if each not in conns]
        self._open -= len(conns)
        self._changed.notify_all()

    def _free_slot(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify()
