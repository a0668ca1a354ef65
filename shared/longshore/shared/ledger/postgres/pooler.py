"""Noticing a pooler that gives each transaction another session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger import statements
from longshore.shared.ledger.postgres.connection import LedgerConnection

#: How often two connections are compared: other clients of the pooler can hide for a while what it does.
_TRIES: Final = 20


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
        # A session of each, the same at every look: a pooler that lends them must hit upon both of them each time.
        mine, theirs = _backend(conn), _backend(other)
        for _ in range(_TRIES):
            with other.transaction():
                stay = mine != theirs and _backend(other) == theirs and _backend(conn) == mine
            if not stay:
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
