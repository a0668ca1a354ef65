"""Parses durations such as ``30d``, ``12h`` and ``2w``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.validation import shorten

_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
#: Only where nothing is removed by the duration: ``6m`` could be meant as six months.
_SHORT_UNITS: Final = {"s": timedelta(seconds=1), "m": timedelta(minutes=1)}
_TEXT = re.compile(r"\s*([0-9]{1,6})\s*([a-z])\s*")
MAX_DURATION: Final = timedelta(days=50 * 365)


def parse_duration(value: str | timedelta, field: str, *, short: bool = False) -> timedelta:
    """Parse a duration above zero.

    :param value: a whole number of hours, days or weeks, as in ``12h``, ``30d`` or ``2w``; or a timedelta.
    :param field: the argument to name in an error.
    :param short: also take seconds and minutes, as in ``90s`` or ``30m``. Default: false.
    :raises InvalidInput: it is not a duration, not above zero, or over 50 years; names ``field``.
    """
    units = {**_SHORT_UNITS, **_UNITS} if short else _UNITS
    if isinstance(value, timedelta):
        duration = value
    elif isinstance(value, str) and (match := _TEXT.fullmatch(value)) and match[2] in units:
        duration = int(match[1]) * units[match[2]]
    else:
        write = (
            "seconds, minutes, hours, days or weeks, as in 90s, 30m, 2h, 7d"
            if short
            else "hours, days or weeks, as in 12h, 30d"
        )
        raise InvalidInput(field, f"{shorten(value)} is not a duration; write {write} or 2w")
    if not timedelta(0) < duration <= MAX_DURATION:
        raise InvalidInput(field, f"{shorten(value)}: give a duration above zero and of at most 50 years")
    return duration
