"""The gateway's login to Postgres."""

from __future__ import annotations

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.roles.isolation import check_isolation
from longshore.shared.ledger.schema_revision import find_missing_migrations
from longshore.shared.settings import Settings


def check_login(settings: Settings) -> None:
    """Make sure that Postgres has the tables of this release, and itself keeps the producers apart, whatever the
    gateway does.

    :raises ServiceUnavailable: the tables are older, the login sees the jobs of all producers, or Postgres cannot be
        reached.
    """
    with Ledger(settings.database_url, "longshore gateway") as ledger:
        missing = find_missing_migrations(ledger.queries.schema_revision())
        if missing is not None:
            raise ServiceUnavailable(f"Postgres at {ledger.database.address}: {missing}")
        check_isolation(ledger.database)
