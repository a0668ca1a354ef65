"""Taking the locks of a migration while workers are at work."""

from __future__ import annotations

import time
from typing import Literal

import sqlalchemy as sa
from alembic import op
from psycopg.errors import DeadlockDetected, LockNotAvailable

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.locks import LOCK_ATTEMPTS, LOCK_TIMEOUT_S, RETRY_INTERVAL_S


def lock_tables(*tables: str, mode: Literal["ACCESS EXCLUSIVE", "SHARE"] = "ACCESS EXCLUSIVE") -> None:
    """Take every lock first, in the order in which attempts take them, and never keep others waiting for long.

    Whoever waits for a lock keeps all others waiting, too: a worker that is frozen while it writes would stop them all.

    :param mode: ``SHARE`` is enough to make an index; others can still read.
    :raises ServiceUnavailable: the tables are in use all the time.
    """
    connection = op.get_bind()
    for _ in range(LOCK_ATTEMPTS):
        try:
            with connection.begin_nested():
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
                connection.execute(sa.text(f"LOCK TABLE {', '.join(tables)} IN {mode} MODE"))
            return
        except sa.exc.OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable | DeadlockDetected):
                raise
            time.sleep(RETRY_INTERVAL_S)
    raise ServiceUnavailable("Postgres: shards are written all the time; stop the workers, and migrate again")
