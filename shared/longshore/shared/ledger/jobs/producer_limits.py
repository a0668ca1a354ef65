"""How many jobs each producer may have that have not ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from psycopg.errors import InsufficientPrivilege

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database
from longshore.shared.ledger.locks import MIGRATION_LOCK
from longshore.shared.ledger.postgres.repeating import repeat_read
from longshore.shared.limits import check_producer

#: Stands for every producer without a limit of its own.
OTHERS: Final = "*"
#: The most that the column holds.
_MAX_JOBS: Final = 2**31 - 1
#: For ``lock_timeout``: submissions wait no longer while the trigger is made.
_LOCK_TIMEOUT: Final = "2s"


@dataclass(frozen=True)
class ProducerLimit:
    """The limit of one producer.

    :param producer: its name, or ``*`` for every producer without a limit of its own.
    :param max_jobs: how many jobs it may have that have not ended.
    :param jobs: how many it has; 0 for ``*``.
    """

    producer: str
    max_jobs: int
    jobs: int


class ProducerLimits:
    """The part of the ledger with which the owner of the tables limits producers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @repeat_read
    def list(self) -> list[ProducerLimit]:
        """All limits, by name."""
        with self._database.connection() as conn:
            return [ProducerLimit(*row) for row in conn.execute(statements.limits.LIST_LIMITS)]

    @repeat_read
    def of(self, producer: str) -> ProducerLimit | None:
        """The limit that holds for a producer; ``None`` if none does, or this user may not know."""
        with self._database.connection() as conn:
            try:
                row = conn.execute(statements.limits.READ_LIMIT, {"producer": producer}).fetchone()
            except InsufficientPrivilege:
                return None
        return None if row is None else ProducerLimit(producer, *row)

    def set(self, producer: str, max_jobs: int | None) -> None:
        """Limit the jobs of a producer. Those that it has stay.

        Submissions at the same moment can exceed the limit by what they add.

        :param producer: its name, or ``*`` for every producer without a limit of its own.
        :param max_jobs: how many jobs it may have that have not ended; ``None`` removes its limit.
        :raises InvalidInput: a value is wrong.
        :raises ServiceUnavailable: this user does not own the tables.
        """
        check_producer(producer)
        if max_jobs is not None and not 0 <= max_jobs <= _MAX_JOBS:
            raise InvalidInput("max_jobs", f"{max_jobs:,}; must be from 0 to {_MAX_JOBS:,}")

        def change(conn: Connection) -> None:
            conn.execute(statements.sessions.LIMIT_WAITING, {"lock": _LOCK_TIMEOUT, "step": "0"})
            # The lock of migrations: two changes at a time would make or drop the trigger twice.
            conn.execute(statements.sessions.LOCK_TRANSACTION, {"key": MIGRATION_LOCK})
            conn.execute(statements.roles.ACT_AS_OWNER, {"table": "jobs", "local": True})
            if max_jobs is None:
                conn.execute(statements.limits.REMOVE_LIMIT, {"producer": producer})
                conn.execute(statements.limits.REMOVE_CHECK)
            else:
                conn.execute(statements.limits.SET_LIMIT, {"producer": producer, "max_jobs": max_jobs})
                conn.execute(statements.limits.CREATE_CHECK)

        self._database.change(change)
