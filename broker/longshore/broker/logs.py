"""How every process of a cluster writes its log: one line an event, to standard error."""

from __future__ import annotations

import logging
import os

#: ``LONGSHORE_LOG_LEVEL``: debug, info (default), warning or error.
LEVEL = "LONGSHORE_LOG_LEVEL"


def configure_logging() -> None:
    """Log Longshore's own events at the chosen level, and those of its libraries from warnings up."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    level = os.environ.get(LEVEL, "info").upper()
    logging.getLogger("longshore").setLevel(level if level in logging.getLevelNamesMapping() else logging.INFO)
