"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from longshore.shared.durations import parse_duration
from longshore.shared.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "hours"), [("12h", 12), ("30d", 720), ("2w", 336), (" 1 d ", 24), (timedelta(minutes=30), 0.5)]
)
def test_hours_days_and_weeks(text: str | timedelta, hours: float) -> None:
    assert parse_duration(text, "older_than") == timedelta(hours=hours)


@pytest.mark.parametrize(
    "text", ["", "30", "d", "30x", "1.5d", "-1d", "30 days", "5m", "٣d", "1d2h", "P30D", 30, None, True]
)
def test_what_is_none_is_refused_with_what_to_write(text: object) -> None:
    with pytest.raises(InvalidInput, match=r"older_than: .*30d") as caught:
        parse_duration(text, "older_than")  # type: ignore[arg-type]
    assert caught.value.field == "older_than"


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1w", 604_800)])
def test_where_nothing_is_removed_also_seconds_and_minutes(text: str, seconds: int) -> None:
    assert parse_duration(text, "since", short=True) == timedelta(seconds=seconds)
    with pytest.raises(InvalidInput, match=r"since: '2x' is not a duration; write seconds, .* as in 90s, 30m"):
        parse_duration("2x", "since", short=True)


@pytest.mark.parametrize("text", ["0d", timedelta(0), timedelta(days=-1), "999999w", timedelta.max])
def test_nothing_and_ages_are_refused(text: str | timedelta) -> None:
    with pytest.raises(InvalidInput, match="at most 50 years"):
        parse_duration(text, "older_than")
