"""The lines of a process's log as JSON."""

from __future__ import annotations

import json
import logging
import sys

from longshore.broker.logs import JsonFormatter, with_fields


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("longshore.tests").makeRecord(
        "longshore.tests", logging.INFO, __file__, 1, message, arguments, None, extra=extra
    )


def test_an_event_is_one_json_object_on_one_line() -> None:
    line = JsonFormatter().format(record("two\nlines of %s", "text", **with_fields({"rows": 3, "job": "a"})))
    assert "\n" not in line
    event = json.loads(line)
    assert (event["level"], event["logger"], event["message"]) == ("info", "longshore.tests", "two\nlines of text")
    assert (event["rows"], event["job"]) == (3, "a")
    assert event["time"].endswith("+00:00")


def test_an_error_comes_with_its_traceback() -> None:
    failed = record("failed")
    try:
        raise ValueError("no")
    except ValueError:
        failed.exc_info = sys.exc_info()
    assert json.loads(JsonFormatter().format(failed))["error"].endswith("ValueError: no")
