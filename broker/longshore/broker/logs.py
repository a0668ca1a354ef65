"""The log of each process of a cluster: one line per event, on standard error."""

from __future__ import annotations

import logging
import os
import sys

#: The variable with the log level: debug, info (default), warning or error.
LEVEL_VARIABLE = "LONGSHORE_LOG_LEVEL"


def configure_logging() -> None:
    """Log the events of Longshore at the chosen level, and those of its libraries at warning or above."""
    handler = logging.StreamHandler()
    handler.addFilter(_name_main_module)
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=[handler]
    )
    name = os.environ.get(LEVEL_VARIABLE, "info").upper()
    level = name if name in logging.getLevelNamesMapping() else logging.INFO
    # ``python -m longshore.broker.relay`` runs the module under the name ``__main__``.
    for logger in ("longshore", "__main__"):
        logging.getLogger(logger).setLevel(level)


def _name_main_module(record: logging.LogRecord) -> bool:
    """Write the name of the module that ``python -m`` runs instead of ``__main__``. Drops no record."""
    if record.name == "__main__" and (spec := sys.modules["__main__"].__spec__) is not None:
        record.name = spec.name
    return True
