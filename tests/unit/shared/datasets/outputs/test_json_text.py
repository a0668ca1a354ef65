"""Arrow values as JSON."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.shared.datasets.outputs.json_text import json_texts

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.floats(width=32, allow_nan=False, allow_infinity=False)
ROW = st.fixed_dictionaries(
    {
        "text": TEXT | st.none(),
        "whole": st.integers(-(2**63), 2**63 - 1) | st.none(),
        "flag": st.booleans() | st.none(),
        "list": st.lists(TEXT | st.none(), max_size=3) | st.none(),
        "pairs": st.lists(st.fixed_dictionaries({"label": TEXT, "on": st.booleans()}), max_size=3),
    }
)
KIND = pa.struct(
    [
        ("text", pa.string()),
        ("whole", pa.int64()),
        ("flag", pa.bool_()),
        ("list", pa.list_(pa.string())),
        ("pairs", pa.list_(pa.struct([("label", pa.string()), ("on", pa.bool_())]))),
    ]
)


@given(rows=st.lists(ROW | st.none(), max_size=8), start=st.integers(0, 3))
def test_values_read_back_as_they_were(rows: list[dict[str, object] | None], start: int) -> None:
    array = pa.array(rows, KIND).slice(start)
    texts = json_texts(array).to_pylist()
    assert [None if text is None else json.loads(text) for text in texts] == rows[start:]


@given(values=st.lists(NUMBER, max_size=20))
def test_float32_read_back_as_they_were(values: list[float]) -> None:
    texts = json_texts(pa.array(np.array(values, np.float32))).to_pylist()
    assert [np.float32(json.loads(text)) for text in texts] == values


@given(labels=st.lists(TEXT, min_size=1, max_size=4), numbers=st.lists(st.none() | st.integers(0, 3), max_size=9))
def test_dictionaries_are_what_they_stand_for(labels: list[str], numbers: list[int | None]) -> None:
    numbers = [None if number is None else number % len(labels) for number in numbers]
    column = pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(labels))
    structs = pa.StructArray.from_arrays([column, pa.array([0.5] * len(numbers))], ["label", "score"])
    wanted = [{"label": None if number is None else labels[number], "score": 0.5} for number in numbers]
    assert [json.loads(text) for text in json_texts(structs).to_pylist()] == wanted


def test_numbers_are_short_and_text_is_as_python_spaces_it() -> None:
    values = pa.array([0.98, 1.25, 1 / 3, math.pi, math.nan, math.inf, None], pa.float32())
    found = json_texts(pa.StructArray.from_arrays([values, values], ["value", "two"])).to_pylist()
    numbers = ["0.98", "1.25", "0.33333334", "3.1415927", "null", "null", "null"]
    assert found == [f'{{"value": {number}, "two": {number}}}' for number in numbers]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array([date(2026, 1, 2)]), '"2026-01-02"'),
        (pa.array([datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)]), '"2026-01-02 03:04:05.000000Z"'),
        (pa.array([Decimal("1.50")]), "1.50"),
        (pa.array([1.5], pa.float16()), "1.5"),
        (pa.array([[1.0, None]], pa.list_(pa.float32(), 2)), "[1, null]"),
        (pa.array([["a"], None], pa.large_list(pa.large_string())).slice(0, 1), '["a"]'),
        (pa.array([b"x"]).cast(pa.string()), '"x"'),
        (pa.array([{}], pa.struct([])), "{}"),
    ],
)
def test_other_types(values: pa.Array, wanted: str) -> None:
    assert json_texts(values).to_pylist() == [wanted]


def test_bytes_have_no_place_in_json() -> None:
    with pytest.raises(TypeError, match="binary cannot be written as JSON"):
        json_texts(pa.array([b"x"]))
