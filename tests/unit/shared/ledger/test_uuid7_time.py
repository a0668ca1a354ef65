"""Job ids as points in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from longshore.shared.ledger.retention.uuid7_time import WEEK, first_id, start_of_week, week_name

MOMENTS = st.datetimes(datetime(1970, 1, 5), datetime(2900, 1, 1), timezones=st.just(UTC))


def test_an_id_made_now_lies_between_the_bounds_around_it() -> None:
    before = datetime.now(UTC)
    made = UUID(str(uuid7()))
    after = datetime.now(UTC) + timedelta(milliseconds=1)
    assert first_id(before) <= made < first_id(after)


@given(MOMENTS)
def test_bounds_are_in_the_order_of_time(moment: datetime) -> None:
    assert first_id(moment) < first_id(moment + timedelta(milliseconds=1))
    assert first_id(moment).int % 2**80 == 0


@given(MOMENTS)
def test_a_week_begins_on_monday_and_holds_its_moments(moment: datetime) -> None:
    week = start_of_week(moment)
    assert (week.weekday(), week.hour, week.minute, week.second, week.microsecond) == (0, 0, 0, 0, 0)
    assert week <= moment < week + WEEK
    assert week_name(week) == week_name(moment) != week_name(week + WEEK)


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        (datetime(2026, 11, 24, tzinfo=UTC), "2026w48"),
        (datetime(2027, 1, 1, tzinfo=UTC), "2026w53"),
        (datetime(2024, 12, 31, tzinfo=UTC), "2025w01"),
        (datetime(2026, 11, 23, 1, tzinfo=timezone(timedelta(hours=2))), "2026w47"),
    ],
)
def test_weeks_are_named_as_iso_counts_them(moment: datetime, name: str) -> None:
    assert week_name(moment) == name
    assert week_name(start_of_week(moment)) == name
