"""Noticing a pooler that gives each transaction another session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger import statements
from longshore.shared.ledger.postgres.connection import LedgerConnection

#: How often two connections are compared: other clients of the pooler can hide once what it does.
_TRIES: Final = 5


def check_sessions(conn: LedgerConnection, connect: Callable[[], LedgerConnection], address: str) -> None:
    """Make sure that the sessions of a pooler stay those of one client.

    Settings, LISTEN, advisory locks and prepared statements belong to a session. PgBouncer in transaction mode lends a
    session for one transaction only.

    :param conn: a connection through the pooler.
    :param connect: opens another one.
    :raises ServiceUnavailable: they do not stay.
    """
    other = connect()
    try:
        for _ in range(_TRIES):
            mine = _backend(conn)
            with other.transaction():
                theirs = _backend(other)
                if mine == theirs or _backend(conn) != mine:
                    raise ServiceUnavailable(
                        f"Postgres at {address} is behind a pooler in transaction mode, in which a session does not "
                        "stay with its client (LISTEN, advisory locks); use pool_mode = session, or the address of "
                        "Postgres itself"
                    )
    finally:
        other.close()


def _backend(conn: LedgerConnection) -> int:
    row = conn.execute(statements.sessions.READ_BACKEND, prepare=False).fetchone()
    assert row is not None  # it is one row
    return int(row[0])
