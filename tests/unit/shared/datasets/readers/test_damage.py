"""Files that are not what they seem, or not any more."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.source import Source
from longshore.shared.errors import DataError, InvalidInput, MissingData
from longshore.shared.specs.jobs import FileInput
from longshore.shared.vocabulary import DataFormat


def opened(path: Path, field: str | None = None) -> Source:
    formats: dict[str, DataFormat] = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl"}
    return open_source(FileInput(uri=str(path), format=formats[path.suffix]), field)


def exhaust(source: Source, strict: bool = True) -> list[pa.RecordBatch]:
    columns = source.schema.names
    return [batch for segment in source.segments(2) for batch in source.batches(segment, columns, 10, strict)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "row 1: .*Expected 2 columns, got 3"),
        ("short.csv", b"a,b\n1,2\n1\n", "row 1: .*Expected 2 columns, got 1"),
        ("latin.csv", b"a,b\n1,x\n\n2,\xfc\n", "row 1: byte 0xfc is not UTF-8"),
        ("header.csv", b"\xfc,b\n1,x\n", "byte 0xfc is not UTF-8"),
        ("twice.csv", b"a,a\n1,2\n", "the header has 'a' 2 times"),
        ("quote.csv", b'a\n"1\n', "inside quotes"),
        ("blank.csv", b"\n\n", "no header"),
        ("wide.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("cut.jsonl", b'{"a": 1}\n{"a": ', "row 1"),
        ("array.jsonl", b"[1, 2]\n", "row 0"),
        ("two.jsonl", b'{"a": 1}\n{"a": 2} {"a": 3}\n', "row 1: Extra data: line 1 column 10"),
        ("latin.jsonl", b'{"a": "x"}\n{"a": "\xfc"}\n', "row 1: byte 0xfc is not UTF-8"),
        ("blank.jsonl", b"\n \n", "no rows"),
        ("null.jsonl", b"null\n", "row 0: None is not an object"),
        ("nulls.jsonl", b'null{"a": 1}\n', "row 0: Extra data: line 1 column 5"),
        ("later.jsonl", b'{"a": 1}\n\n null\n', "row 1: None is not an object"),
        ("text.parquet", b"hello", "text.parquet"),
        ("text2.parquet", b"hello, this is no Parquet file at all", "text2.parquet"),
    ],
)
def test_a_bad_file_is_refused_by_name_at_once(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as error:
        opened(path)
    assert str(path) in str(error.value)
    with pytest.raises(InvalidInput, match=said) as refused:
        opened(path, "data")
    assert refused.value.field == "data"


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_missing_file_is_named(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "another").touch()  # the folder is there
    with pytest.raises(MissingData, match="No such file"):
        opened(tmp_path / f"x{suffix}")


def test_files_without_rows_are_refused_at_submission_only(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("a,b\n\n")
    for path in (tmp_path / "x.parquet", tmp_path / "x.csv"):
        assert opened(path).segments(None) == []
        with pytest.raises(InvalidInput, match="no rows"):
            opened(path, "data")


def test_a_truncated_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=str(path)):
        opened(path)


def test_parquet_that_is_damaged_after_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": list(range(100_000))}), path, write_page_checksum=True, compression="none")
    source = opened(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=str(path)):
        [*source.batches(source.segments(None)[-1], ["a"], 1000)]
    path.write_bytes(content[:1000])
    with pytest.raises(DataError, match=str(path)):
        [*source.batches(source.segments(None)[-1], ["a"], 1000)]


def test_parquet_that_has_fewer_rows_than_were_planned(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1, 2, 3]}), path)
    (segment,) = opened(path).segments(3)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(DataError, match="has 1 rows, but had at least 3"):
        [*opened(path).batches(segment, ["a"], 10)]


@pytest.mark.parametrize(("name", "line"), [("x.csv", b"12\n"), ("x.jsonl", b'{"a":12}\n')])
def test_text_that_was_changed_after_it_was_planned(tmp_path: Path, name: str, line: bytes) -> None:
    path, head = tmp_path / name, b"a\n" if name == "x.csv" else b""
    path.write_bytes(head + line * 10)
    segment = opened(path).segments(5)[-1]
    path.write_bytes(head + line * 9)
    with pytest.raises(DataError, match="too early"):
        [*opened(path).batches(segment, ["a"], 10)]
    path.write_bytes(head + line * 5 + b"\n" * len(line) + line * 4)
    with pytest.raises(DataError, match="4 rows, but had 5"):
        [*opened(path).batches(segment, ["a"], 10)]


def test_a_column_that_is_gone(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("a\n1\n")
    for path in (tmp_path / "x.parquet", tmp_path / "x.csv"):
        source = opened(path)
        with pytest.raises(DataError, match=r"no columns? (called )?'b'"):
            [*source.batches(source.segments(1)[0], ["b"], 10)]


def filler(rows: int) -> str:
    """Makes a first block that knows nothing of what comes after it."""
    return "z" * (5 * 2**20 // rows)


def test_a_csv_value_that_does_not_fit_the_type_of_the_first_block(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    lines = [f"{row},{filler(100)}" for row in range(100)]
    lines[97] = "oops,x"
    path.write_text("\n".join(["a,b", *lines]))
    source = opened(path)
    assert source.schema.field("a").type == pa.float64()
    with pytest.raises(DataError, match=r"row 97: .*'oops'"):
        exhaust(source)
    loose = pa.Table.from_batches(
        batch.cast(pa.schema([("a", pa.string()), ("b", pa.string())])) for batch in exhaust(source, strict=False)
    )
    assert loose.column("a").to_pylist() == [str(row) if row != 97 else "oops" for row in range(100)]


def test_a_json_value_that_does_not_fit_the_type_of_the_first_block(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    lines = [f'{{"a": {row}, "l": [1.5], "b": "{filler(100)}"}}' for row in range(100)]
    lines[97] = '{"a": "oops", "l": "none"}'
    path.write_text("\n".join(lines))
    source = opened(path)
    with pytest.raises(DataError, match=r"row 97: column 'a': 'oops' is not a number"):
        exhaust(source)
    found = [row for batch in exhaust(source, strict=False) for row in batch.to_pylist()]
    # JSON texts instead of lists, so that the value which does not fit can be reported.
    assert found[97] == {"a": "oops", "l": '"none"', "b": None}
    assert [int(row["a"]) for row in found[:97]] == list(range(97))
    assert found[98]["l"] == [1.5]
    path.write_text("\n".join([*lines[:99], '{"a": 1']))
    with pytest.raises(DataError, match="row 99"):
        exhaust(opened(path), strict=False)


def test_a_row_longer_than_a_block(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    text = "long\n" * 2**20
    path.write_text(f'a,b\n1,"{text}"\n2,short\n')
    assert [row for batch in exhaust(opened(path)) for row in batch.to_pylist()] == [
        {"a": 1, "b": text},
        {"a": 2, "b": "short"},
    ]
