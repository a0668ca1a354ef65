"""One connection to Postgres, which waits for no answer for ever."""

from __future__ import annotations

import os
import select
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, timeout_from_conninfo
from psycopg.rows import TupleRow

from longshore.shared import forks
from longshore.shared.ledger import statements

#: Seconds that an answer may take. Behind a proxy or a stopped server, a connection can look alive and be silent.
ANSWER_TIMEOUT_S: Final = 30.0
#: Seconds that statements may take which read or change very many rows.
LONG_ANSWER_TIMEOUT_S: Final = 3600.0
#: Seconds after which a new connection asks whether the server still works on a statement whose answer is late. Each
#: time that it does, the next question comes after twice as long, up to the second. If it does not, it is asked once
#: more after the third: an answer that is on its way is not lost.
ASK_AFTER_S: Final = 2.0
MAX_ASK_AFTER_S: Final = 8.0
ASK_AGAIN_AFTER_S: Final = 1.0
#: Seconds for the first try to log in. The answer to a login may never come, as when a router has crashed in that
#: moment; so it is tried once more, with the limit of the address, which a server that is slow to answer needs.
FIRST_LOGIN_S: Final = 3
#: Seconds after which an idle connection is asked whether it still works before it is used, and for its answer.
PROBE_AFTER_S: Final = 5.0
PROBE_TIMEOUT_S: Final = 3.0
#: The settings of every session, whatever the server's defaults are: the statements are written for these. The first
#: release of Postgres that has a setting stands beside it.
_SETTINGS: Final[Mapping[str, tuple[str, int]]] = {
    "default_transaction_isolation": ("read committed", 0),
    "default_transaction_read_only": ("off", 0),
    "default_transaction_deferrable": ("off", 0),
    "statement_timeout": ("0", 0),
    "lock_timeout": ("0", 0),
    # A client that is gone without a word must not keep what it has locked.
    "idle_in_transaction_session_timeout": (statements.sessions.IDLE_TIMEOUT, 0),
    "tcp_keepalives_idle": ("10", 0),
    "tcp_keepalives_interval": ("5", 0),
    "tcp_keepalives_count": ("3", 0),
    "tcp_user_timeout": ("20s", 120_000),
    "idle_session_timeout": ("0", 140_000),
    "transaction_timeout": ("0", 170_000),
}
#: The producer that a session works for, for the policies of the gateway's login.
PRODUCER_SETTING: Final = "longshore.producer"

T = TypeVar("T")


class NoAnswer(psycopg.OperationalError):
    """The server has not answered in time, and the connection was given up."""


class LedgerConnection(psycopg.Connection[TupleRow]):
    """A connection in autocommit mode whose answers have a limit.

    What Postgres does with a statement whose answer did not come in time is not known.
    """

    #: Seconds that an answer may take; of a COPY, each part of it.
    answer_timeout_s: float = ANSWER_TIMEOUT_S
    #: How another connection is opened, to ask about this one; empty if it cannot be asked.
    conninfo: str = ""
    #: Whether the server has another process for it than it says, as behind a pooler.
    pooled: bool = False
    #: For the pool: since when it is idle, by ``time.monotonic()``, and the number of its generation; -1 outside.
    idle_since: float = 0.0
    generation: int = -1
    #: Whether it is one of the parent, in a forked child.
    abandoned: bool = False

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for an answer, as the driver does for everything.

        :raises NoAnswer: it did not come within :attr:`answer_timeout_s`, or it is lost: the server has done what it
            was told, or waits to be told.
        """
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        limit, begin = self.answer_timeout_s, time.monotonic()
        try:
            return super().wait(self._ask_when_late(gen), interval, limit)
        except psycopg.OperationalError as error:
            if error.sqlstate is not None or self.closed or time.monotonic() - begin < limit:
                raise
            # Its answer may still come, and would be taken for that of the next statement.
            self.pgconn.finish()
            raise NoAnswer(f"no answer in {limit:g} s") from None

    def _ask_when_late(self, gen: PQGen[T]) -> PQGen[T]:
        """What ``gen`` wants to wait for, until the server no longer works on an answer that has not come."""
        asked, pause, ask_at = False, ASK_AFTER_S, time.monotonic() + ASK_AFTER_S
        try:
            wants = next(gen)
            while True:
                ready = yield wants
                if ready:
                    asked, pause, ask_at = False, ASK_AFTER_S, time.monotonic() + ASK_AFTER_S
                elif time.monotonic() >= ask_at:
                    if self._is_busy():
                        asked, pause = False, min(2 * pause, MAX_ASK_AFTER_S)
                    elif asked:
                        # It may be in the middle of a transaction, or of a COPY, which no limit of its own ends.
                        self._ask(statements.sessions.END_FORSAKEN)
                        self.pgconn.finish()
                        raise NoAnswer("the answer was lost")
                    else:
                        asked = True
                    ask_at = time.monotonic() + (ASK_AGAIN_AFTER_S if asked else pause)
                wants = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result

    def _is_busy(self) -> bool:
        """Whether the server works on the answer; also ``True`` if that cannot be found out."""
        if not self.conninfo or self.pooled:
            return True
        found = self._ask(statements.sessions.IS_BUSY)
        return found is None or found > 0

    def _ask(self, statement: str) -> int | None:
        """How many rows a statement about the process of this connection has, over another connection; ``None`` if
        that is not possible.
        """
        try:
            limit = max(2, int(PROBE_TIMEOUT_S))  # the least that the driver takes
            with LedgerConnection.connect(self.conninfo, autocommit=True, connect_timeout=limit) as other:
                other.answer_timeout_s = PROBE_TIMEOUT_S
                return other.execute(statement.encode(), {"pid": self.info.backend_pid}, prepare=False).rowcount
        except psycopg.Error:
            return None

    @contextmanager
    def answering_within(self, seconds: float) -> Iterator[None]:
        """Another limit for some statements."""
        before, self.answer_timeout_s = self.answer_timeout_s, seconds
        try:
            yield
        finally:
            self.answer_timeout_s = before

    def forget_parent(self) -> None:
        """In a forked child: give up the socket without a word. The parent goes on with it."""
        if self.abandoned or self.closed:
            return
        self.abandoned = True
        null = os.open(os.devnull, os.O_RDWR)
        try:
            # Whatever the child still writes goes nowhere, and the parent's end is the only one that is left.
            os.dup2(null, self.pgconn.socket, inheritable=False)
        finally:
            os.close(null)
        forks.keep(self)

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        # A pool that was not closed ends with its process.
        if not self.abandoned and self.generation < 0:
            super().__del__(warn)


#: What statements need: any connection whose rows are tuples.
Connection: TypeAlias = psycopg.Connection[TupleRow]


def connect(conninfo: str, *, plan_anew: bool = False, producer: str = "") -> LedgerConnection:
    """Open a connection with the settings that the statements need.

    :param plan_anew: plan each statement every time it runs.
    :param producer: whose jobs a login of the gateway sees in this session; empty for none.
    """
    conn = _log_in(conninfo)
    forks.call_after_fork(conn)
    try:
        version = conn.info.server_version
        settings = {name: value for name, (value, since) in _SETTINGS.items() if version >= since}
        if plan_anew:
            settings |= statements.sessions.PLAN_EVERY_TIME
        settings[PRODUCER_SETTING] = producer
        values = {"names": list(settings), "values": list(settings.values())}
        row = conn.execute(statements.sessions.BEGIN_SESSION, values, prepare=False).fetchone()
        assert row is not None  # it is one row
        # A pooler invents the number that it gives to its clients.
        conn.pooled = int(row[0]) != conn.info.backend_pid
        conn.conninfo = conninfo
    except BaseException:
        conn.close()
        raise
    return conn


def _log_in(conninfo: str) -> LedgerConnection:
    if timeout_from_conninfo(conninfo_to_dict(conninfo)) > FIRST_LOGIN_S:
        with suppress(psycopg.errors.ConnectionTimeout):
            return LedgerConnection.connect(conninfo, autocommit=True, connect_timeout=FIRST_LOGIN_S)
    return LedgerConnection.connect(conninfo, autocommit=True)


def is_alive(conn: LedgerConnection) -> bool:
    """Whether a connection still works, by asking Postgres."""
    try:
        with conn.answering_within(PROBE_TIMEOUT_S):
            conn.execute("", prepare=False)
    except psycopg.Error:
        return False
    return True


def works(conn: LedgerConnection) -> bool:
    """Whether an idle connection can be used.

    Postgres is asked only if it was idle for long, or has received something, as the end of a connection is received.
    """
    if conn.closed:
        return False
    recent = time.monotonic() - conn.idle_since < PROBE_AFTER_S
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    return (recent and not poll.poll(0)) or is_alive(conn)
