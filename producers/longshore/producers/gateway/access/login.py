"""The gateway's login to Postgres."""

from __future__ import annotations

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.roles.isolation import check_isolation
from longshore.shared.settings import Settings


def check_login(settings: Settings) -> None:
    """Make sure that Postgres itself keeps the producers apart, whatever the gateway does.

    :raises ServiceUnavailable: the login sees the jobs of all producers, or Postgres cannot be reached.
    """
    with Ledger(settings.database_url, "longshore gateway") as ledger:
        check_isolation(ledger.database)
