"""Results as a table, as rows and as frames of other packages."""

from __future__ import annotations

import json
import sys
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.producers import ResultRow, Results
from longshore.producers.result_keys import KeyValue, column_type, decisive, key_column
from longshore.producers.results import results_table
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.queries import ResultRecord

VALUES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text()
ALIKE = st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)) | st.lists(st.none() | st.text())


def results(*rows: tuple[str, str | None], keys: tuple[str, ...] = ("id",)) -> Results:
    records = [ResultRecord(row, output, key) for row, (output, key) in enumerate(rows)]
    return Results(results_table(records, keys), keys)


TWO = results(
    ('{"label": "a", "score": 0.5}', '{"id": 9007199254740993}'), ('{"label": "b", "score": 1}', '{"id": null}')
)


@given(st.lists(VALUES))
def test_no_value_of_a_key_changes(values: list[KeyValue]) -> None:
    kind = column_type(values)
    found = key_column(values, kind).to_pylist()
    for value, other in zip(values, found, strict=True):
        if pa.types.is_string(kind):
            assert other == (value if value is None or isinstance(value, str) else json.dumps(value))
        elif pa.types.is_floating(kind) and isinstance(value, int):
            assert Decimal(repr(other)) == value
        else:
            assert other == value


@given(ALIKE)
def test_values_of_one_kind_have_its_type(values: list[KeyValue]) -> None:
    kinds = {type(value) for value in values} - {type(None)}
    expected = {frozenset(): pa.null(), frozenset({int}): pa.int64(), frozenset({str}): pa.string()}
    assert column_type(values) == expected[frozenset(kinds)]


@given(st.lists(VALUES), st.lists(VALUES))
def test_few_values_decide_the_type_of_many(one: list[KeyValue], other: list[KeyValue]) -> None:
    few = [*decisive(one), *decisive(other)]
    assert len(few) <= 14
    assert column_type(few) == column_type([*one, *other])


def test_columns_are_the_row_the_key_and_the_output() -> None:
    assert TWO.column_names == ["row", "id", "label", "score"]
    assert (TWO.num_rows, len(TWO), TWO.key_columns) == (2, 2, ("id",))
    assert TWO["id"].to_pylist() == TWO.column("id").to_pylist() == [2**53 + 1, None]
    assert list(TWO) == [
        ResultRow(0, {"label": "a", "score": 0.5}, {"id": 2**53 + 1}),
        ResultRow(1, {"label": "b", "score": 1.0}, {"id": None}),
    ]
    assert repr(TWO) == "<Results 2 rows: row, id, label, score>"
    with pytest.raises(KeyError):
        TWO["none"]


def test_labels_that_look_like_dates_are_text() -> None:
    label, other = "2024-02-29", "2024-02-29T12:00:00"
    top_k = [{"label": label, "score": 0.5}, {"label": other, "score": 0.25}]
    output = {"label": label, "labels": [label, other], "top_k": top_k}
    assert list(results((json.dumps(output), None), keys=())) == [ResultRow(0, output)]  # type: ignore[arg-type]


def test_without_rows_there_are_the_kept_columns() -> None:
    assert results().column_names == ["row", "id"]
    assert results(keys=()).column_names == ["row"]
    assert list(results()) == []


def test_rows_of_before_the_keys_have_none() -> None:
    assert results(('{"value": 1}', None))["id"].to_pylist() == [None]


def test_integers_with_nulls_keep_their_digits_in_pandas() -> None:
    frame = TWO.to_pandas()
    assert frame["id"].dtype == pd.Int64Dtype()
    assert frame["id"][0] == 2**53 + 1
    assert frame["row"].dtype == "int64"
    assert TWO.to_polars()["id"].to_list() == [2**53 + 1, None]
    assert pa.table(TWO).equals(TWO.to_arrow())
    assert TWO.to_arrow() == TWO.to_arrow()


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_package_that_is_missing_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidInput, match=f"^{package}: not installed; run: pip install {package}$"):
        TWO.to_pandas() if package == "pandas" else TWO.to_polars()
