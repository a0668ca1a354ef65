"""Connections to Postgres, and the translation of its errors."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import InsufficientPrivilege, UndefinedTable
from psycopg.rows import TupleRow, class_row
from psycopg_pool import ConnectionPool, PoolTimeout

from longshore.shared.errors import InvalidInput, ServiceUnavailable
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements

#: How long to wait for a connection before Postgres counts as unreachable.
CONNECT_TIMEOUT_S = 10.0

R = TypeVar("R")
#: A connection whose rows are tuples.
Connection: TypeAlias = psycopg.Connection[TupleRow]


class Database:
    """A small pool of connections to one database, opened when first used.

    :param url: ``postgresql://user:password@host:port/name``.
    :param application: the client's name in Postgres.
    :param plan_anew: plan each statement every time it runs; for clients that change many rows at a time.
    """

    def __init__(self, url: str, application: str = "longshore", max_size: int = 4, *, plan_anew: bool = False) -> None:
        try:
            parts = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # The driver's message would repeat the URL, and with it a password.
            raise InvalidInput(
                "database_url", "not a Postgres URL; write postgresql://user:password@host:port/database"
            ) from None
        #: For messages, so without the password.
        self.address = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}"
        self._conninfo = make_conninfo(url, application_name=application, connect_timeout=int(CONNECT_TIMEOUT_S))
        self._max_size = max_size
        self._configure = _plan_anew if plan_anew else None
        self._pool: ConnectionPool[Connection] | None = None
        # Two threads that use it for the first time must not open two pools.
        self._opening = threading.Lock()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection in autocommit mode.

        :raises ServiceUnavailable: Postgres cannot be reached, refuses the login, or has no tables yet.
        """
        with self.translated():
            with self._opening:
                pool = self._pool = self._pool or self._open()
            with pool.connection(timeout=CONNECT_TIMEOUT_S) as conn:
                yield conn
                fault_point("ledger:answered")

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection inside one transaction: committed at the end, rolled back by any exception."""
        with self.connection() as conn:
            with conn.transaction():
                yield conn
                fault_point("ledger:before_commit")
            fault_point("ledger:committed")

    @contextmanager
    def own_connection(self) -> Iterator[Connection]:
        """A connection outside the pool, for uses that keep it: an advisory lock, LISTEN, a long COPY."""
        with self.translated(), psycopg.connect(self._conninfo, autocommit=True) as conn:
            yield conn

    def close(self) -> None:
        """Close every connection. The object can be used again."""
        with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _open(self) -> ConnectionPool[Connection]:
        with psycopg.connect(self._conninfo):
            pass  # A wrong address or password fails here at once with its own message, not after the pool's retries.
        return ConnectionPool(
            self._conninfo,
            min_size=1,
            max_size=self._max_size,
            open=True,
            kwargs={"autocommit": True},
            configure=self._configure,
            check=_check,
            name="longshore",
        )

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Translate the driver's errors into those of Longshore."""
        try:
            yield
        except UndefinedTable:
            raise ServiceUnavailable(
                f"Postgres at {self.address} has no Longshore tables; run `longshore migrate`"
            ) from None
        except InsufficientPrivilege as error:
            raise ServiceUnavailable(f"Postgres at {self.address}: {_first_line(error)}") from None
        except PoolTimeout:
            raise ServiceUnavailable(f"Postgres at {self.address} did not answer in {CONNECT_TIMEOUT_S:g} s") from None
        except psycopg.DataError as error:
            # Of users' input, only a text with a NUL character gets here: Postgres cannot store it.
            raise InvalidInput("text", f"Postgres cannot hold it: {_first_line(error)}") from None
        except psycopg.OperationalError as error:
            raise ServiceUnavailable(f"Postgres at {self.address} cannot be reached: {_first_line(error)}") from error


def _plan_anew(conn: Connection) -> None:
    """Cache no plans. A plan that was made when the tables were nearly empty reads them from end to end until Postgres
    analyzes them: with ten thousand small jobs soon after a start, workers took five times as long.
    """
    conn.execute(statements.sessions.PLAN_EVERY_TIME)


def is_alive(conn: Connection) -> bool:
    """Whether an idle connection still works. Postgres is asked only if the connection has received something."""
    try:
        _check(conn)
    except psycopg.OperationalError:
        return False
    return True


def _check(conn: Connection) -> None:
    # The end of a connection is received like any message.
    if conn.closed or select.select([conn.fileno()], [], [], 0)[0]:
        ConnectionPool.check_connection(conn)


def records(conn: Connection, kind: type[R]) -> psycopg.Cursor[R]:
    """A cursor that returns each row as a ``kind``, by column names."""
    return conn.cursor(row_factory=class_row(kind))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
