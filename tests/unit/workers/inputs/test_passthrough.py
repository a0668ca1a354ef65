"""Kept columns have one type throughout, and what does not fit is its row's error."""

from __future__ import annotations

import pyarrow as pa

from longshore.workers.inputs.passthrough import PassthroughColumns


def test_text_becomes_the_column_s_type_and_what_does_not_fit_an_error() -> None:
    kept = PassthroughColumns(pa.schema([("n", pa.int64()), ("x", pa.float64()), ("ok", pa.bool_())]), ["n", "ok"])
    window = pa.RecordBatch.from_pydict({"n": ["1", "one", None], "x": ["1.5", "?", "2"], "ok": ["true", "False", "1"]})
    errors = {2: "was there before"}
    fitted = kept.fit(window, errors)
    assert fitted.to_pydict() == {"n": [1, None, None], "x": ["1.5", "?", "2"], "ok": [True, False, True]}
    assert errors == {1: "column 'n': 'one' is not int64, and the job keeps this column", 2: "was there before"}


def test_columns_of_the_right_type_are_left_as_they_are() -> None:
    window = pa.RecordBatch.from_pydict({"n": pa.array([1, None]), "d": pa.array(["a", "b"]).dictionary_encode()})
    errors: dict[int, str] = {}
    fitted = PassthroughColumns(window.schema, ["n", "d"]).fit(window, errors)
    assert fitted.column("n").equals(window.column("n"))
    assert fitted.column("d").to_pylist() == ["a", "b"]
    assert fitted.schema.field("d").type == pa.string()
    assert errors == {}
