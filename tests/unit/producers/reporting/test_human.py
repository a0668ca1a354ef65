"""Times, durations and sizes as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from longshore.producers.reporting.human import age_text, duration_text, size_text, time_text


def test_durations_have_two_units_at_most() -> None:
    texts = [time_text(seconds) for seconds in (None, 0.2, 59.7, 200, 18_600, 187_200)]
    assert texts == ["", "0s", "1m 0s", "3m 20s", "5h 10m", "2d 4h"]


def test_short_durations_are_more_exact() -> None:
    texts = [duration_text(seconds) for seconds in (None, 0, 0.0123, 0.9994, 0.9999, 3.21, 9.96, 10.2, 200)]
    assert texts == ["", "0ms", "12ms", "999ms", "1.0s", "3.2s", "10.0s", "10s", "3m 20s"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172800, "2d")]
)
def test_ages_have_one_unit(seconds: int, text: str) -> None:
    assert age_text(datetime.now(UTC) - timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1.0 MiB"), (1_048_524, "1,023.9 KiB"),
        (3_500_000_000, "3.3 GiB"), (2**70, "1,048,576.0 PiB"),
    ],
)  # fmt: skip
def test_sizes_have_one_decimal(size: int, text: str) -> None:
    assert size_text(size) == text
