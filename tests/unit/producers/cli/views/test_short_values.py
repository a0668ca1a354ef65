"""Results in the cells of a table."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from longshore.producers.cli.views.short_values import short_value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a text", "a text"),
        (None, ""),
        (True, "True"),
        (0.98765432109, "0.987654"),
        (12, "12"),
        ([0.25, 0.5], "[0.25, 0.5]"),
        ([{"label": True, "score": 0.75}], '[{"label": True, "score": 0.75}]'),
        (["news", "sport"], '["news", "sport"]'),
        ([0.123456789] * 384, "[0.1235, 0.1235, 0.1235, … 384 numbers]"),
        (["a"] * 1000, '["a", "a", "a", … 1,000 values]'),
        ([[0.5] * 20] * 9, "[[0.5, 0.5, 0.5, … 20 numbers], … 9 values]"),
        ({"box": [1, 2, 3, 4], "é": None}, '{"box": [1, 2, 3, 4], "é": null}'),
    ],
)
def test_long_lists_are_shortened(value: JsonValue, text: str) -> None:
    assert short_value(value) == text
