"""Kept columns have one type throughout, and their values are those of the input."""

from __future__ import annotations

import pyarrow as pa

from longshore.shared.datasets.columns.json_values import json_column
from longshore.workers.inputs.passthrough import PassthroughColumns


def test_columns_with_a_type_of_their_own_are_left_as_they_are() -> None:
    window = pa.RecordBatch.from_pydict({"n": pa.array([1, None]), "d": pa.array(["a", "b"]).dictionary_encode()})
    converted = PassthroughColumns(["n", "d"], "parquet").convert(window)
    assert converted.column("n").equals(window.column("n"))
    assert converted.column("d").to_pylist() == ["a", "b"]
    assert converted.schema.field("d").type == pa.string()


def test_json_is_repeated_in_json_lines_and_is_text_in_parquet() -> None:
    texts = ["12345678901234567890", '"x\\"y"', '"00042"', "[1, 2.50]", None]
    window = pa.RecordBatch.from_pydict({"k": json_column(pa.array(texts)), "x": pa.array([1.0] * 5)})
    repeated = PassthroughColumns(["k"], "jsonl").convert(window)
    assert repeated.column("k").storage.to_pylist() == texts
    plain = PassthroughColumns(["k"], "parquet").convert(window)
    assert plain.schema.field("k").type == pa.string()
    assert plain.column("k").to_pylist() == ["12345678901234567890", 'x"y', "00042", "[1, 2.50]", None]
