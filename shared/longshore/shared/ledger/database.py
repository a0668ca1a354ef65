"""The connections to one database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

from psycopg import Cursor
from psycopg.rows import class_row

from longshore.shared import forks
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements
from longshore.shared.ledger.postgres.address import Address
from longshore.shared.ledger.postgres.connection import ANSWER_TIMEOUT_S, LedgerConnection, connect
from longshore.shared.ledger.postgres.connection import Connection as Connection
from longshore.shared.ledger.postgres.errors import ConnectionLost, ReadOnlyServer, translated
from longshore.shared.ledger.postgres.pool import MAX_CONNECTIONS, Pool
from longshore.shared.ledger.postgres.pooler import check_sessions
from longshore.shared.ledger.postgres.repeating import pauses_after_loss, repeat_rolled_back

R = TypeVar("R")
T = TypeVar("T")


class Database:
    """A small pool of connections to one database, opened when first used. A forked child opens its own.

    :param url: ``postgresql://user:password@host:port/name``.
    :param application: the client's name in Postgres.
    :param plan_anew: plan each statement every time it runs; for clients that change many rows at a time. A plan that
        was made when the tables were nearly empty reads them from end to end until Postgres analyzes them: with ten
        thousand small jobs soon after a start, workers took five times as long.
    :param producer: whose jobs a login of the gateway sees; without it, nobody's. Other logins see what they see.
    :raises InvalidInput: ``url`` is not one of Postgres.
    """

    def __init__(
        self, url: str, application: str = "longshore", *, plan_anew: bool = False, producer: str = ""
    ) -> None:
        parsed = Address(url, application)
        #: For messages, so without the password.
        self.address = parsed.name
        self._conninfo = parsed.conninfo
        self._plan_anew = plan_anew
        self._producer = producer
        self._pool = Pool(self._connect, MAX_CONNECTIONS)
        #: Whether the sessions of a pooler were found to stay.
        self._checked = False
        self._checking = threading.Lock()
        forks.call_after_fork(self)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection in autocommit mode.

        :raises ServiceUnavailable: Postgres cannot be reached, refuses the login, or has no tables yet.
        """
        with translated(self.address):
            conn = self._pool.take()
        try:
            with translated(self.address, conn):
                yield conn
                fault_point("ledger:answered")
        except ReadOnlyServer:
            # After a failover, the connections to the old primary are of no use.
            self._pool.renew()
            raise
        finally:
            self._pool.give_back(conn)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection inside one transaction: committed at the end, rolled back by any exception."""
        with self.connection() as conn:
            with conn.transaction():
                yield conn
                fault_point("ledger:before_commit")
            fault_point("ledger:committed")

    @contextmanager
    def own_connection(self, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> Iterator[LedgerConnection]:
        """A connection outside the pool, for uses that keep it: an advisory lock, LISTEN, a long COPY.

        :param answer_timeout_s: seconds that each answer may take.
        """
        with translated(self.address):
            conn = self._connect()
        conn.answer_timeout_s = answer_timeout_s
        try:
            with translated(self.address, conn):
                yield conn
        finally:
            if not conn.abandoned:
                conn.close()

    def change(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in a transaction that takes effect once, even if the connection is lost around its COMMIT.

        Postgres is then asked whether the transaction was committed, and if not, it is done again.

        :param work: has no effect outside the transaction; it may be called several times.
        :raises ConnectionLost: the connection was lost, and Postgres could not be asked for some time. Whether the
            transaction took effect is not known.
        """
        return self._change(work)

    @repeat_rolled_back
    def _change(self, work: Callable[[Connection], T]) -> T:
        for pause in [*pauses_after_loss(), None]:
            done: list[T] = []
            transaction: str | None = None
            try:
                with self.transaction() as conn:
                    done.append(work(conn))
                    row = conn.execute(statements.sessions.READ_TRANSACTION).fetchone()
                    transaction = None if row is None else row[0]
                return done[0]
            except ConnectionLost:
                if done and transaction is not None and self._was_committed(transaction):
                    return done[0]
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _was_committed(self, transaction: str) -> bool:
        """Whether a transaction of a lost connection was committed. Waits until it has ended.

        :raises ConnectionLost: Postgres cannot be asked.
        """
        last: ServiceUnavailable | None = None
        for pause in pauses_after_loss():
            try:
                with self.connection() as conn:
                    row = conn.execute(statements.sessions.READ_OUTCOME, {"transaction": transaction}).fetchone()
            except ServiceUnavailable as error:
                last = error
            else:
                if row is None or row[0] != "in progress":
                    return row is not None and row[0] == "committed"
            time.sleep(pause)
        reason = last or f"Postgres at {self.address} has not ended the transaction of a lost connection"
        raise ConnectionLost(f"{reason}; whether the change took effect is not known, so look before you repeat it")

    @property
    def pool_usage(self) -> tuple[int, int]:
        """How many connections of the pool are in use, and how many are idle."""
        return self._pool.usage

    def close(self) -> None:
        """Close every connection. The object can be used again."""
        self._pool.renew()

    def forget_parent(self) -> None:
        """In a forked child: see :mod:`longshore.shared.forks`."""
        self._checking = threading.Lock()

    def __reduce__(self) -> NoReturn:
        raise forks.refuse_pickling(self, "make one in each process")

    def _connect(self) -> LedgerConnection:
        conn = connect(self._conninfo, plan_anew=self._plan_anew, producer=self._producer)
        if conn.pooled and not self._checked:
            try:
                with self._checking:
                    check_sessions(conn, lambda: connect(self._conninfo), self.address)
                self._checked = True
            except BaseException:
                conn.close()
                raise
        return conn


def records(conn: Connection, kind: type[R]) -> Cursor[R]:
    """A cursor that returns each row as a ``kind``, by column names."""
    return conn.cursor(row_factory=class_row(kind))
