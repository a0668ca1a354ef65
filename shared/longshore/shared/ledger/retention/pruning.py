"""Pruning: removing the results of old jobs, and the inline rows that came with them. The jobs themselves stay."""

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
from longshore.shared.ledger.postgres.connection import LONG_ANSWER_TIMEOUT_S
from longshore.shared.ledger.retention.partitions import limit_waiting, read_clock
from longshore.shared.ledger.retention.removal import OldResults, Pruned

#: How long each try waits for a lock.
LOCK_TIMEOUT_MS: Final = 2_000
#: How long to wait for another prune to end.
TURN_TIMEOUT_MS: Final = 60_000


class Pruning:
    """The part of the ledger that removes old results."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def prune(
        self,
        older_than: timedelta,
        *,
        dry_run: bool = False,
        lock_timeout_ms: int = LOCK_TIMEOUT_MS,
        turn_timeout_ms: int = TURN_TIMEOUT_MS,
    ) -> Pruned:
        """Remove the results, row errors and inline rows of jobs that have ended longer ago.

        :param dry_run: remove nothing, and return what would be removed.
        :param lock_timeout_ms: how long each try waits for those who use a partition.
        :param turn_timeout_ms: how long to wait for another prune.
        :raises LedgerBusy: an old partition is in use all the time, or another prune takes long. What was removed
            before stays removed.
        """
        with self._database.own_connection(LONG_ANSWER_TIMEOUT_S) as conn, _turn(conn, turn_timeout_ms):
            cut = read_clock(conn) - older_than
            old = OldResults(conn, cut, lock_timeout_ms)
            return old.count() if dry_run else old.remove()

    def checkpoints(self, older_than: timedelta | None, *, dry_run: bool = False) -> list[tuple[str, int]]:
        """Remove the checkpoints of jobs that have ended and were pruned, so that nothing can go on from them.

        :param older_than: also those of jobs that have ended longer ago, which cannot be extended, or resumed by a
            retry, after that.
        :returns: blob and size in bytes of each.
        """
        with self._database.transaction() as conn:
            cut = None if older_than is None else read_clock(conn) - older_than
            statement = statements.retention.DELETE_USELESS_CHECKPOINTS
            if dry_run:
                statement = statements.retention.FIND_USELESS_CHECKPOINTS
            return [(blob, size) for blob, size in conn.execute(statement, {"ended_before": cut})]


@contextmanager
def _turn(conn: Connection, timeout_ms: int) -> Iterator[None]:
    """Wait until no other prune is running. The lock is released when ``conn`` is closed."""
    try:
        with conn.transaction():
            limit_waiting(conn, timeout_ms)
            conn.execute(statements.sessions.LOCK, {"key": PRUNE_LOCK})
    except LockNotAvailable:
        raise LedgerBusy("another prune is running; prune again when it is done") from None
    yield
