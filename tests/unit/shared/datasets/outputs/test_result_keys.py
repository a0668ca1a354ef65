"""The keys of results: what Postgres stores of them is what the columns hold."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.shared.datasets.columns.json_values import json_column
from longshore.shared.datasets.outputs.result_keys import (
    check_first_keys,
    check_key_columns,
    keys_of_tables,
    result_keys,
)
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.limits import MAX_KEY_BYTES

INTS = st.integers(-(2**63), 2**63 - 1)
#: What Arrow takes as text: no half of a surrogate pair.
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
COLUMNS = st.one_of(
    st.tuples(st.just(pa.int64()), st.lists(INTS | st.none(), min_size=3, max_size=3)),
    st.tuples(st.just(pa.float64()), st.lists(st.floats() | st.none(), min_size=3, max_size=3)),
    st.tuples(st.just(pa.bool_()), st.lists(st.booleans() | st.none(), min_size=3, max_size=3)),
    st.tuples(st.just(pa.string()), st.lists(TEXTS | st.none(), min_size=3, max_size=3)),
    st.tuples(
        st.just(pa.decimal128(38, 9)),
        st.lists(st.decimals(-(10**20), 10**20, places=9) | st.none(), min_size=3, max_size=3),
    ),
)
#: What a line of JSON can have as a value.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def stored(value: object) -> object:
    """A value as ``jsonb`` has it."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


@given(st.dictionaries(TEXTS, COLUMNS, min_size=1, max_size=3))
def test_a_key_has_every_value(columns: dict[str, tuple[pa.DataType, list[object]]]) -> None:
    table = pa.table({name: pa.array(values, kind) for name, (kind, values) in columns.items()})
    if any("\0" in name for name in columns):
        with pytest.raises(InvalidInput, match="NUL"):
            check_key_columns(list(columns), table.schema)
        return
    check_key_columns(list(columns), table.schema)
    keys = result_keys(table, list(columns))
    for row, text in enumerate(keys.texts.to_pylist()):
        values = {name: stored(values[row]) for name, (_, values) in columns.items()}
        unstorable = any(isinstance(value, str) and "\0" in value for value in values.values())
        assert (text is None) == (row in keys.errors)
        if text is not None:
            assert not unstorable
            found = json.loads(text, parse_float=Decimal)
            assert found.keys() == values.keys()
            for name, value in values.items():
                assert float(found[name]) == value if isinstance(value, float) else found[name] == value
        else:
            assert unstorable or len(json.dumps(values, default=str).encode()) > MAX_KEY_BYTES // 2


@given(st.lists(VALUES, min_size=1, max_size=4), st.booleans())
def test_json_values_are_stored_or_refused(values: list[object], ascii_only: bool) -> None:
    texts = [json.dumps(value, ensure_ascii=ascii_only) for value in values]
    if not all(text.isascii() or text.encode(errors="replace").decode() == text for text in texts):
        return  # no UTF-8
    keys = result_keys(pa.table({"id": json_column(pa.array(texts))}), ["id"])
    for row, (value, text) in enumerate(zip(values, keys.texts.to_pylist(), strict=True)):
        if isinstance(value, list | dict) or (isinstance(value, str) and ("\0" in value or not _is_unicode(value))):
            assert text is None
            assert "column 'id'" in keys.errors[row]
        else:
            assert json.loads(text) == {"id": value}


def _is_unicode(text: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1e5000", "a number with an exponent of 4 digits"),
        ("-1E-99999", "a number with an exponent of 5 digits"),
        ("[1]", "a list or an object"),
        ("[" * 900 + "]" * 900, "nested|a list or an object"),
        ('"\\ud800"', "a character that Postgres does not store"),
        ('"a\\u0000"', "a character that Postgres does not store"),
        ('"' + "x" * MAX_KEY_BYTES + '"', "at most 2,048 are stored"),
    ],
)
def test_what_postgres_would_refuse(text: str, said: str) -> None:
    keys = result_keys(pa.table({"id": json_column(pa.array(["1", text, '"é"']))}), ["id"])
    assert keys.texts.to_pylist() == ['{"id": 1}', None, '{"id": "é"}']
    assert list(keys.errors) == [1]
    assert re.search(said, keys.errors[1])


@pytest.mark.parametrize(
    "text", ["1e999", '"1e5000"', '"\\\\u0000"', '"[{"', "NaN", "Infinity", "12345678901234567890"]
)
def test_what_only_looks_as_if(text: str) -> None:
    keys = result_keys(pa.table({"id": json_column(pa.array([text]))}), ["id"])
    assert keys.errors == {}
    assert keys.texts.to_pylist() == [f'{{"id": {"null" if text in ("NaN", "Infinity") else text}}}']


def test_keys_of_several_tables() -> None:
    tables = [pa.table({"id": ids}) for ids in (["a", "\0"], ["b"], ["\0", "c"])]
    together = keys_of_tables(tables, ["id"])
    assert together.texts.to_pylist() == ['{"id": "a"}', None, '{"id": "b"}', None, '{"id": "c"}']
    assert sorted(together.errors) == [1, 3]
    mixed = [pa.table({"id": ids}) for ids in ([2**53 + 1], [0.5], [2**53 + 1, 1], ["1"])]
    assert [json.loads(text)["id"] for text in keys_of_tables(mixed, ["id"]).texts.to_pylist()] == [
        *(2**53 + 1, 0.5, 2**53 + 1, 1, "1")
    ]
    assert together.of([0, 1, 4]) == {0: '{"id": "a"}', 4: '{"id": "c"}'}


def test_a_column_that_is_gone_or_another() -> None:
    with pytest.raises(DataError, match=r"keep: the data has no column 'id'"):
        result_keys(pa.table({"x": [1]}), ["id"])
    with pytest.raises(DataError, match=r"keep: column 'x' holds list<.*>, which is no key"):
        result_keys(pa.table({"x": [[1]]}), ["x"])


def test_a_time_zone_that_is_not_known() -> None:
    rows = pa.table({"at": pa.array([0], pa.timestamp("us", "Mars/Phobos"))})
    check_key_columns(["at"], rows.schema)
    with pytest.raises(DataError, match=r"^keep: .*'Mars/Phobos'.*; install the zones \(tzdata\)"):
        result_keys(rows, ["at"])
    with pytest.raises(InvalidInput, match=r"^keep: Cannot .*'Mars/Phobos'.*; install the zones \(tzdata\)"):
        check_first_keys(rows, ["at"])
