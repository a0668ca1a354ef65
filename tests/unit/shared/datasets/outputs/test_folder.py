"""Writing, publishing and removing output files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.shared.datasets.outputs.folder import OutputFolder
from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.datasets.outputs.writers import ROW_GROUP_BYTES, ROW_GROUP_ROWS, open_writer, to_json_lines
from longshore.shared.errors import DataError

JOB = UUID(int=1)


def make(folder: Path | str) -> tuple[OutputPattern, OutputFolder]:
    pattern = OutputPattern.parse(f"{folder}/*.parquet")
    return pattern, OutputFolder(pattern, JOB)


def write(pattern: OutputPattern, folder: OutputFolder, shard: int = 0, attempt: int = 1, value: int = 1) -> str:
    hidden = pattern.hidden(JOB, shard, attempt)
    writer = folder.open(hidden)
    writer.write(pa.table({"x": [value]}))
    writer.close()
    return hidden


def values(path: Path) -> list[int]:
    return list(pq.read_table(path)["x"].to_pylist())


def test_row_groups_are_of_one_size_however_rows_come(tmp_path: Path) -> None:
    rows = pa.table({"x": pa.array(range(200_000))})
    writer = open_writer(str(tmp_path / "a.parquet"), "parquet")
    for start in range(0, 200_000, 30_001):
        writer.write(rows.slice(start, 30_001))
    writer.close()
    file = pq.ParquetFile(tmp_path / "a.parquet")
    groups = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    assert groups == [ROW_GROUP_ROWS] * 3 + [200_000 - 3 * ROW_GROUP_ROWS]
    assert file.read() == rows


def test_wide_rows_end_a_row_group_early(tmp_path: Path) -> None:
    wide = pa.table({"x": pa.array([b"x" * (ROW_GROUP_BYTES // 4)])})
    writer = open_writer(str(tmp_path / "a.parquet"), "parquet")
    for _ in range(5):
        writer.write(wide)
    writer.close()
    metadata = pq.ParquetFile(tmp_path / "a.parquet").metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [4, 1]


def test_json_lines_are_an_object_a_line(tmp_path: Path) -> None:
    rows = pa.table({"x": [1, None], "text": ['a"\n', "ü"], "list": [[1.5], None]})
    writer = open_writer(str(tmp_path / "a.jsonl"), "jsonl")
    writer.write(rows.slice(0, 1))
    writer.write(rows.slice(1))
    writer.close()
    lines = (tmp_path / "a.jsonl").read_text().split("\n")
    assert [json.loads(line) for line in lines[:2]] == rows.to_pylist()
    assert lines[2:] == [""]


def test_lines_of_a_slice_are_its_own() -> None:
    batch = pa.RecordBatch.from_pydict({"x": [1, 2, 3]})
    assert bytes(to_json_lines(batch.slice(1, 1))) == b'{"x": 2}\n'
    assert bytes(to_json_lines(batch.slice(0, 0))) == b""
    with pytest.raises(TypeError):
        to_json_lines(pa.RecordBatch.from_pydict({"x": [b"bytes"]}))


def test_a_file_is_seen_when_it_is_published(tmp_path: Path) -> None:
    pattern, folder = make(tmp_path / "not" / "there")
    assert folder.published() == []
    hidden = write(pattern, folder)
    assert folder.published() == []
    folder.publish(hidden, 0)
    assert folder.published() == [pattern.output_file(JOB, 0)]
    folder.publish(hidden, 0)
    folder.clean()
    folder.clean()
    assert [path.name for path in (tmp_path / "not" / "there").iterdir()] == [pattern.output_file(JOB, 0)]


def test_a_late_publication_does_not_replace_the_part(tmp_path: Path) -> None:
    pattern, folder = make(tmp_path)
    hidden = write(pattern, folder, value=1)
    folder.publish(hidden, 0)
    late = write(pattern, folder, attempt=2, value=2)
    folder.publish(hidden, 0)
    assert values(tmp_path / pattern.output_file(JOB, 0)) == [1]
    folder.remove(late)
    assert folder.published() == [path.name for path in tmp_path.iterdir()] == [pattern.output_file(JOB, 0)]


def test_what_is_nowhere_cannot_be_published(tmp_path: Path) -> None:
    pattern, folder = make(tmp_path)
    with pytest.raises(DataError, match="was written, but does not exist any more"):
        folder.publish(pattern.hidden(JOB, 0, 1), 0)


def test_only_earlier_attempts_at_the_same_shard_are_removed(tmp_path: Path) -> None:
    pattern, folder = make(tmp_path)
    for shard, attempt in [(1, 1), (1, 2), (1, 3), (11, 1), (2, 1)]:
        write(pattern, folder, shard, attempt)
    folder.remove_earlier(1, 3)
    left = sorted(path.name for path in (tmp_path / pattern.hidden_folder(JOB)).iterdir())
    assert left == ["1-3.parquet", "11-1.parquet", "2-1.parquet"]
    folder.remove(pattern.hidden(JOB, 1, 3))
    assert (tmp_path / pattern.hidden_folder(JOB)).is_dir()
    folder.clean()
    assert list(tmp_path.iterdir()) == []


def a_file_in_the_way(folder: Path) -> Path:
    folder.write_text("a file")
    return folder


def a_folder_in_the_way(folder: Path) -> Path:
    (folder / f"_longshore-{JOB}" / "0-1.parquet").mkdir(parents=True)
    return folder


@pytest.mark.parametrize(("obstacle", "error"), [(a_file_in_the_way, DataError), (a_folder_in_the_way, DataError)])
def test_what_cannot_be_written_says_where(
    tmp_path: Path, obstacle: Callable[[Path], Path], error: type[Exception]
) -> None:
    pattern, folder = make(obstacle(tmp_path / "out"))
    with pytest.raises(error, match=f"cannot write {tmp_path}/out"):
        write(pattern, folder)
