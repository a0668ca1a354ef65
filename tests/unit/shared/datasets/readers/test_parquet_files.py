"""Folders and globs of Parquet files: one dataset, numbered through."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.segments import Segment
from longshore.shared.datasets.source import Source
from longshore.shared.errors import DataError, InvalidInput

FILES = st.lists(st.integers(0, 12), min_size=1, max_size=6).filter(any)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


def write(path: Path, start: int, rows: int, group: int = 5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = pa.array(range(start, start + rows), pa.int64())
    table = pa.table({"number": numbers, "text": pa.array([f"t{row}" for row in numbers.to_pylist()], pa.string())})
    pq.write_table(table, path, row_group_size=group)


def read(source: Source, segment: Segment, columns: list[str], batch_rows: int = 7) -> list[dict[str, object]]:
    batches = [*source.batches(segment, columns, batch_rows)]
    assert all(1 <= batch.num_rows <= batch_rows for batch in batches)
    assert all(batch.num_rows == batch_rows for batch in batches[:-1])
    return [row for batch in batches for row in batch.to_pylist()]


@given(FILES, st.one_of(st.none(), st.integers(1, 60)), st.integers(1, 20), st.integers(1, 13), st.booleans())
@settings(deadline=None, max_examples=60)
def test_the_segments_are_the_files_in_order(
    base: Path, files: list[int], step: int | None, batch_rows: int, group: int, backwards: bool
) -> None:
    folder = base / "rows"
    shutil.rmtree(folder, ignore_errors=True)
    for number, rows in enumerate(files):
        write(folder / f"{number}.parquet", sum(files[:number]), rows, group)
    source = open_source(detect(folder), "data")
    assert source.rows == sum(files)
    segments = source.segments(step)
    assert [row for segment in segments for row in range(segment.start, segment.stop)] == list(range(sum(files)))
    if step is not None:
        assert len(segments) == math.ceil(sum(files) / step)
    for segment in reversed(segments) if backwards else segments:
        expected = [{"text": f"t{row}", "number": row} for row in range(segment.start, segment.stop)]
        assert read(source, segment, ["text", "number"], batch_rows) == expected


def test_folder_names_are_columns(tmp_path: Path) -> None:
    write(tmp_path / "year=2023/kind=a%2Fb/x.parquet", 0, 2)
    write(tmp_path / "year=2024/kind=7/x.parquet", 2, 1)
    write(tmp_path / "year=2024/kind=__HIVE_DEFAULT_PARTITION__/x.parquet", 3, 1)
    source = open_source(detect(tmp_path))
    assert source.schema.names == ["number", "text", "year", "kind"]
    assert source.schema.field("year").type == pa.int64()
    rows = read(source, Segment(0, 4), ["kind", "number", "year"])
    assert [tuple(row.values()) for row in rows] == [
        ("a/b", 0, 2023), ("a/b", 1, 2023), ("7", 2, 2024), (None, 3, 2024),
    ]  # fmt: skip
    assert read(source, Segment(1, 3), ["year"]) == [{"year": 2023}, {"year": 2024}]
    assert source.head(1).to_pylist() == [{"number": 0, "text": "t0", "year": 2023, "kind": "a/b"}]


def test_a_column_of_the_file_goes_before_one_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "number=9/x.parquet", 0, 1)
    assert read(open_source(detect(tmp_path)), Segment(0, 1), ["number"]) == [{"number": 0}]


@pytest.mark.parametrize("pattern", ["*.parquet", "?.parquet", "[ab].parquet", "**/*.parquet", "**"])
def test_globs_are_sorted_and_hidden_files_are_left_out(tmp_path: Path, pattern: str) -> None:
    for name in ("b.parquet", "_metadata.parquet", ".c.parquet", "_temporary/d.parquet"):
        write(tmp_path / name, 1, 1)
    write(tmp_path / "a.parquet", 0, 1)
    (tmp_path / "_SUCCESS").touch()
    assert read(open_source(detect(tmp_path / pattern)), Segment(0, 2), ["number"]) == [{"number": 0}, {"number": 1}]


def test_a_file_whose_name_has_wildcards_is_a_file(tmp_path: Path) -> None:
    write(tmp_path / "a[1].parquet", 0, 1)
    assert detect(tmp_path / "a[1].parquet").listing is None


def test_other_columns_are_refused_with_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", 0, 1)
    pq.write_table(pa.table({"text": ["t"], "number": pa.array([1], pa.int32())}), tmp_path / "b.parquet")
    with pytest.raises(InvalidInput, match=r"b\.parquet: column 'number' is int32, and int64 in .*a\.parquet"):
        open_source(detect(tmp_path), "data")
    pq.write_table(pa.table({"number": [1]}), tmp_path / "b.parquet")
    with pytest.raises(InvalidInput, match=r"b\.parquet: column 'text' is missing"):
        open_source(detect(tmp_path), "data")


def test_other_partitions_are_refused_with_the_file(tmp_path: Path) -> None:
    write(tmp_path / "year=1/a.parquet", 0, 1)
    write(tmp_path / "month=1/a.parquet", 0, 1)
    with pytest.raises(InvalidInput, match=r"'year=1/a\.parquet' and 'month=1/a\.parquet'"):
        open_source(detect(tmp_path), "data")


def test_files_that_come_go_or_change_after_submission(tmp_path: Path) -> None:
    write(tmp_path / "b.parquet", 0, 5)
    data = detect(tmp_path)
    write(tmp_path / "a.parquet", 0, 5)
    with pytest.raises(DataError, match="added, removed or rewritten"):
        open_source(data)
    (tmp_path / "a.parquet").unlink()
    assert open_source(data).rows == 5
    write(tmp_path / "b.parquet", 0, 500)
    with pytest.raises(DataError, match="added, removed or rewritten"):
        open_source(data)


def test_what_cannot_be_a_dataset_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    for name in (".", "*.csv", "none*.parquet"):
        with pytest.raises(InvalidInput, match="no Parquet files"):
            detect(tmp_path / name)
    with pytest.raises(InvalidInput, match=r"format: .*only Parquet files, images and text files"):
        detect(tmp_path, "csv")
    (tmp_path / "b.parquet").write_bytes(b"not Parquet, though it says so")
    with pytest.raises(InvalidInput, match=r"b\.parquet"):
        open_source(detect(tmp_path), "data")


@pytest.mark.parametrize("pattern", ["", "/*/*.parquet"])
def test_remote_files(tmp_path: Path, pattern: str) -> None:
    files = fsspec.filesystem("memory")
    for number in (1, 0):
        write(tmp_path / "x.parquet", number, 1)
        files.pipe(f"/parts-test/part={number}/x.parquet", (tmp_path / "x.parquet").read_bytes())
    try:
        source = open_source(detect(f"memory://parts-test{pattern}"))
        assert read(source, Segment(0, 2), ["number", "part"]) == [{"number": row, "part": row} for row in (0, 1)]
    finally:
        files.rm("/parts-test", recursive=True)
