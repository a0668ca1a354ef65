"""The formats of results."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.producers.cli.views.result_files import save, write
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.queries import ResultRecord as Row

ROWS: list[Row] = [Row(0, '{"label": "sei, \\"x\\"", "score": 0.5}'), Row(4, '{"label": "é", "score": 1}')]


def giving(rows: list[Row]) -> Callable[[], Iterator[Row]]:
    return lambda: iter(rows)


def written(form: str, rows: list[Row]) -> str:
    stream = io.StringIO()
    write(form, rows, stream)
    return stream.getvalue()


def test_json_lines_contain_the_row_and_the_output() -> None:
    assert [json.loads(line) for line in written("jsonl", [*ROWS, Row(5, "{}"), Row(6, "[1]")]).splitlines()] == [
        {"row": 0, "label": 'sei, "x"', "score": 0.5},
        {"row": 4, "label": "é", "score": 1},
        {"row": 5},
        {"row": 6, "output": [1]},
    ]


def test_csv_quotes_text_and_writes_nested_values_as_json() -> None:
    rows = [Row(1, '{"a": null, "b": [1, 2]}'), Row(2, '{"b": {"c": true}, "a": "x"}')]
    assert written("csv", ROWS).splitlines() == ["row,label,score", '0,"sei, ""x""",0.5', "4,é,1"]
    assert written("csv", rows).splitlines() == ["row,a,b", '1,,"[1, 2]"', '2,x,"{""c"": true}"']
    assert written("csv", []) == "row\n"
    assert written("csv", [Row(0, '{"label": true}'), Row(1, '{"label": false}')]).splitlines()[1:] == [
        "0,True",
        "1,False",
    ]


def test_csv_refuses_rows_with_other_columns() -> None:
    with pytest.raises(InvalidInput, match="row 2 has other columns than the first row, which CSV cannot represent"):
        written("csv", [Row(1, '{"a": 1}'), Row(2, '{"b": 1}')])


def test_the_type_of_a_parquet_column_comes_from_all_chunks(tmp_path: Path) -> None:
    rows = [
        Row(0, '{"value": 1}'),
        Row(1, '{"value": 2}'),
        Row(2, '{"value": 0.5}'),
        Row(3, '{"value": null, "note": "n"}'),
    ]
    save("parquet", giving(rows), tmp_path / "out.parquet", chunk=2)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.to_pydict() == {"row": [0, 1, 2, 3], "value": [1.0, 2.0, 0.5, None], "note": [None, None, None, "n"]}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([2**53 + 1, 1, 0.5], [str(2**53 + 1), "1", "0.5"]),  # a float would lose a digit
        ([2**53, 1, 0.5], [2.0**53, 1.0, 0.5]),
        ([2**64 - 1, 1, 7], [2**64 - 1, 1, 7]),
        ([7, 1, 2**64 - 1], [7, 1, 2**64 - 1]),
        ([2**64 - 1, 1, -1], [str(2**64 - 1), "1", "-1"]),
    ],
)
def test_a_key_keeps_its_digits_beside_those_of_other_chunks(
    tmp_path: Path, keys: list[float], expected: list[float | str]
) -> None:
    rows = [Row(row, "{}", json.dumps({"id": key})) for row, key in enumerate(keys)]
    save("parquet", giving(rows), tmp_path / "out.parquet", ["id"], chunk=2)
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == expected


@given(st.lists(st.tuples(st.text(), st.integers(-(2**53), 2**53)), max_size=20))
def test_every_format_round_trips(tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, int]]) -> None:
    # Text that cannot be encoded never gets into Postgres.
    cells = [(text.encode(errors="ignore").decode(), number) for text, number in cells]
    rows = [Row(row, json.dumps({"a": text, "b": number})) for row, (text, number) in enumerate(cells)]
    assert [(row["a"], row["b"]) for row in map(json.loads, written("jsonl", rows).split("\n")[:-1])] == cells
    path = tmp_path_factory.mktemp("out") / "out.parquet"
    save("parquet", giving(rows), path)
    assert [(row["a"], row["b"]) for row in pq.read_table(path).to_pylist()] == cells


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old\n")

    def breaks() -> Iterator[Row]:
        yield ROWS[0]
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        save("jsonl", breaks, path)
    assert path.read_text() == "old\n"
    save("jsonl", giving(ROWS), path)
    assert len(path.read_text().splitlines()) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]


def test_the_target_of_a_symlink_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to("real.csv")
    save("csv", giving(ROWS), tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("row,")


def test_a_device_or_a_folder_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "nowhere" / "out.csv"):
        with pytest.raises(InvalidInput) as caught:
            save("csv", giving(ROWS), path)
        assert caught.value.field == "output"
        assert str(path) in caught.value.reason


def test_a_table_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="format"):
        save("table", giving(ROWS), tmp_path / "out.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_table_has_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    write("table", [Row(0, '{"a": 1}'), Row(1, '{"b": "x"}')], io.StringIO())
    assert capsys.readouterr().out == "ROW  a  b\n  0  1\n  1     x\n"
