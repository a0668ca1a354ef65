"""The process behind ``longshore migrate``: bring the database's tables up to date."""

from __future__ import annotations

import logging
import sys

from longshore.broker.logs import configure_logging
from longshore.shared.errors import LongshoreError
from longshore.shared.ledger.migrate import migrate
from longshore.shared.settings import load_settings


def main() -> int:
    """Migrate and say so."""
    configure_logging()
    try:
        revision = migrate(load_settings().database_url)
    except LongshoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    logging.getLogger("longshore.migrate").info("the tables are at revision %s", revision)
    return 0


if __name__ == "__main__":
    sys.exit(main())
