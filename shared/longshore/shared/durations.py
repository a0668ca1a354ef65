"""Durations as people write them: ``30d``, ``12h``, ``2w``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.validation import shorten

_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_TEXT = re.compile(r"\s*([0-9]{1,6})\s*([hdw])\s*")
#: Longer ones reach back before there were computers to submit jobs.
LONGEST: Final = timedelta(days=50 * 365)


def parse_duration(value: str | timedelta, field: str) -> timedelta:
    """A duration of which there is any.

    :param value: a whole number of hours, days or weeks, as in ``12h``, ``30d`` or ``2w``; or a timedelta.
    :raises InvalidInput: it is none, not above zero, or over 50 years; names ``field``.
    """
    if isinstance(value, timedelta):
        found = value
    elif isinstance(value, str) and (match := _TEXT.fullmatch(value)):
        found = int(match[1]) * _UNITS[match[2]]
    else:
        raise InvalidInput(
            field, f"{shorten(value)} is not a duration; write hours, days or weeks, as in 12h, 30d or 2w"
        )
    if not timedelta(0) < found <= LONGEST:
        raise InvalidInput(field, f"{shorten(value)}: give more than nothing, and at most 50 years")
    return found
