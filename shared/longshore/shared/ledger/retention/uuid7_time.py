"""Job ids as points in time. A UUIDv7 begins with the milliseconds since 1970, so a range of time is a range of ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

#: The bounds of all ids.
FIRST_ID: Final = UUID(int=0)
LAST_ID: Final = UUID(int=2**128 - 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The time that one partition of results spans.
WEEK = timedelta(weeks=1)


def first_id(moment: datetime) -> UUID:
    """The bound between the ids of jobs submitted before ``moment`` and the ids of later jobs, to the millisecond.

    :param moment: with a time zone; from 1970 on.
    """
    return UUID(int=((moment - _EPOCH) // timedelta(milliseconds=1)) << 80)


def start_of_week(moment: datetime) -> datetime:
    """Monday, 00:00 UTC, of the week of ``moment``."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def week_name(week: datetime) -> str:
    """The name of a week by ISO 8601, such as ``2026w48``."""
    year, number, _ = week.astimezone(UTC).isocalendar()
    return f"{year}w{number:02d}"
