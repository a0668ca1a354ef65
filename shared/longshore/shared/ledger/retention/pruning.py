"""Pruning: the results of old jobs, and the rows that came with them, are removed. The jobs themselves stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from psycopg.errors import LockNotAvailable

from longshore.shared.errors import LedgerBusy
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database
from longshore.shared.ledger.locks import PRUNE_LOCK
from longshore.shared.ledger.retention.partitions import limit_waiting, read_clock
from longshore.shared.ledger.retention.removal import OldResults, Pruned
from longshore.shared.ledger.retention.uuid7_time import first_id

#: Milliseconds to wait for a lock, some times.
LOCK_TIMEOUT: Final = 2_000
#: Milliseconds to wait for another prune to end.
TURN_TIMEOUT: Final = 60_000


class Pruning:
    """The part of the ledger that forgets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def prune(
        self,
        older_than: timedelta,
        *,
        dry_run: bool = False,
        patience: int = LOCK_TIMEOUT,
        turn: int = TURN_TIMEOUT,
    ) -> Pruned:
        """Remove what jobs submitted longer ago have left in Postgres.

        :param patience: milliseconds to wait, a few times, for those who use a partition.
        :param turn: milliseconds to wait for another prune.
        :raises LedgerBusy: somebody uses an old partition all the time, or another prune takes long. What was removed
            before that is removed.
        """
        with self._database.own_connection() as conn, _turn(conn, turn):
            cut = read_clock(conn) - older_than
            found = OldResults(conn, first_id(cut), patience)
            return found.count(cut) if dry_run else found.remove(cut)


@contextmanager
def _turn(conn: Connection, patience: int) -> Iterator[None]:
    """Wait until no other prune is at work. The lock is held for as long as ``link`` is open."""
    try:
        with conn.transaction():
            limit_waiting(conn, patience)
            conn.execute(statements.sessions.LOCK, {"key": PRUNE_LOCK})
    except LockNotAvailable:
        raise LedgerBusy("another prune is at work; prune again when it is done") from None
    yield
