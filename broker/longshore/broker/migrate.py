"""The process behind ``longshore migrate``: bring the database's tables up to date."""

from __future__ import annotations

import logging
import sys

from longshore.broker.logs import configure_logging
from longshore.shared.errors import LongshoreError
from longshore.shared.ledger.migrate import migrate
from longshore.shared.settings import load_settings

logger = logging.getLogger(__name__)


def main() -> int:
    """Migrate the database and log its revision.

    :returns: the exit code.
    """
    configure_logging()
    try:
        revision = migrate(load_settings().database_url)
    except LongshoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    logger.info("the tables are at revision %s", revision)
    return 0


if __name__ == "__main__":
    sys.exit(main())
