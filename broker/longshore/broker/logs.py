"""The log of each process of a cluster: one line per event, on standard error."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from longshore.shared.vocabulary import LOG_FORMATS

#: The variable with the log level: debug, info (default), warning or error.
LEVEL_VARIABLE = "LONGSHORE_LOG_LEVEL"
#: The variable with the form of the lines: text (default), or json for one JSON object per line.
FORMAT_VARIABLE = "LONGSHORE_LOG_FORMAT"
#: The attribute of a log record with its fields for programs.
_FIELDS = "longshore_fields"


def configure_logging() -> None:
    """Log the events of Longshore at the chosen level, and those of its libraries at warning or above."""
    handler = logging.StreamHandler()
    handler.addFilter(_name_main_module)
    chosen = os.environ.get(FORMAT_VARIABLE, "text").lower()
    if chosen == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    name = os.environ.get(LEVEL_VARIABLE, "info").upper()
    level = name if name in logging.getLevelNamesMapping() else logging.INFO
    # ``python -m longshore.broker.relay`` runs the module under the name ``__main__``.
    for logger in ("longshore", "__main__"):
        logging.getLogger(logger).setLevel(level)
    if chosen not in LOG_FORMATS:
        logging.getLogger(__name__).warning("%s: %r is not one of %s", FORMAT_VARIABLE, chosen, ", ".join(LOG_FORMATS))


def with_fields(fields: Mapping[str, str | int | float]) -> dict[str, Mapping[str, str | int | float]]:
    """For ``extra=`` of a log call: fields that :class:`JsonFormatter` adds to the object of the event."""
    return {_FIELDS: fields}


def attempt_of(record: logging.LogRecord) -> str | None:
    """The token of the attempt that a record is about, by its fields ``job``, ``shard`` and ``attempt``."""
    fields: Mapping[str, str | int | float] = getattr(record, _FIELDS, {})
    if not {"job", "shard", "attempt"} <= fields.keys():
        return None
    return f"{fields['job']}/{fields['shard']}/{fields['attempt']}"


class JsonFormatter(logging.Formatter):
    """Writes an event as a JSON object on one line.

    The fields are ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``process`` (its id), ``message``, those of
    :func:`with_fields`, and ``error`` with the traceback if there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its line break."""
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            event["error"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False, default=str)


def _name_main_module(record: logging.LogRecord) -> bool:
    """Write the name of the module that ``python -m`` runs instead of ``__main__``. Drops no record."""
    if record.name == "__main__" and (spec := sys.modules["__main__"].__spec__) is not None:
        record.name = spec.name
    return True
