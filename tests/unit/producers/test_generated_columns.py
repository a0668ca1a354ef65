"""The outputs of jobs that generate text as columns: no value of a row changes because of another row."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.producers import Results
from longshore.producers.cli.views.result_files import save
from longshore.producers.results import results_table
from longshore.shared.ledger.queries import ResultRecord

USAGE: dict[str, object] = {"prompt_tokens": 3, "completion_tokens": 2, "cached_tokens": 0}
PLAIN: dict[str, object] = {"text": "2020-01-01", "finish_reason": "stop", "usage": USAGE}
LOGPROBS = [{"token": "a", "logprob": -0.5, "top": [{"token": "a", "logprob": -0.5}]}]
OUTPUTS: list[dict[str, object]] = [
    {**PLAIN, "data": {"a": 1, "b": None}},
    {**PLAIN, "data": {"a": "x", "big": 12345678901234567890}},
    {**PLAIN, "data": [1, 2.5]},
    {**PLAIN, "data": None, "logprobs": LOGPROBS},
    PLAIN,
    {**PLAIN, "choices": [{"index": 0, "text": "a"}, {"index": 1, "text": "b", "data": 3}]},
    {**PLAIN, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}], "message": {"content": None}},
]


def records(outputs: list[dict[str, object]]) -> list[ResultRecord]:
    return [ResultRecord(row, json.dumps(output), None) for row, output in enumerate(outputs)]


RESULTS = Results(results_table(records(OUTPUTS), generated=True))


def test_rows_have_what_they_had() -> None:
    for row, output in zip(RESULTS, OUTPUTS, strict=True):
        read = {name: value for name, value in row.output.items() if value is not None or name != "logprobs"}
        assert read == output


def test_texts_are_in_order_and_stay_texts() -> None:
    assert RESULTS.texts == ["2020-01-01"] * len(OUTPUTS)


def test_frames_have_the_values() -> None:
    data = RESULTS.to_pandas()["data"].tolist()
    assert data == [output.get("data") for output in OUTPUTS]
    assert RESULTS.to_polars()["data"].to_list()[:3] == [json.dumps(output["data"]) for output in OUTPUTS[:3]]
    assert pa.table(RESULTS).schema.field("usage").type.names == list(USAGE)


def test_a_parquet_file_has_every_row_whatever_is_in_the_rows_before(tmp_path: Path) -> None:
    path = tmp_path / "texts.parquet"
    rows = records([PLAIN, *OUTPUTS])
    save("parquet", lambda: iter(rows), path, chunk=1, generated=True)
    table = pq.read_table(path)
    assert table.num_rows == len(rows)
    texts = [None if text is None else json.loads(str(text)) for text in table.column("data").to_pylist()]
    assert texts[1:] == [output.get("data") for output in OUTPUTS]


def test_no_results_have_the_columns_of_texts() -> None:
    table = results_table([], generated=True)
    assert table.column_names == ["row", "text", "finish_reason", "usage"]
    assert Results(table).texts == []


def test_results_of_other_jobs_have_no_texts() -> None:
    with pytest.raises(KeyError):
        assert Results(results_table([ResultRecord(0, '{"label": "a"}', None)])).texts
