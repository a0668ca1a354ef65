"""Files that change between the plan and the reading: an error, or the rows that were planned, and never others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.segments import Segment
from longshore.shared.datasets.source import Source
from longshore.shared.errors import DataError, InvalidInput
from tests.images import write_archive, write_folder

Writer = Callable[[Path, range], Path]


def table(numbers: range) -> pa.Table:
    return pa.table({"a": pa.array(numbers, pa.int64()), "b": pa.array([f"text {n}" for n in numbers], pa.string())})


def as_parquet(base: Path, numbers: range) -> Path:
    pq.write_table(table(numbers), base / "x.parquet", row_group_size=40)
    return base / "x.parquet"


def as_parts(base: Path, numbers: range) -> Path:
    (base / "parts").mkdir(exist_ok=True)
    pq.write_table(table(numbers), base / "parts/x.parquet", row_group_size=40)
    return base / "parts"


def as_arrow(base: Path, numbers: range) -> Path:
    rows = table(numbers)
    with pa.ipc.new_file(str(base / "x.arrow"), rows.schema) as file:
        file.write_table(rows, max_chunksize=40)
    return base / "x.arrow"


def as_csv(base: Path, numbers: range) -> Path:
    (base / "x.csv").write_text("a,b\n" + "".join(f"{number},text {number}\n" for number in numbers))
    return base / "x.csv"


def as_jsonl(base: Path, numbers: range) -> Path:
    (base / "x.jsonl").write_text("".join(f'{{"a":{number},"b":"text {number}"}}\n' for number in numbers))
    return base / "x.jsonl"


def as_npy(base: Path, numbers: range) -> Path:
    np.save(base / "x.npy", np.array(numbers))
    return base / "x.npy"


def as_npz(base: Path, numbers: range) -> Path:
    np.savez(base / "x.npz", a=np.array(numbers), b=np.array(numbers) * 2)
    return base / "x.npz"


def as_hdf5(base: Path, numbers: range) -> Path:
    with h5py.File(base / "x.h5", "w") as file:
        file["a"], file["b"] = np.array(numbers), [f"text {number}" for number in numbers]
    return base / "x.h5"


def images(numbers: range) -> dict[str, bytes]:
    return {f"{number:04}.png": f"image {number:04}".encode() for number in numbers}


def as_tar(base: Path, numbers: range) -> Path:
    return write_archive(base / "x.tar", images(numbers))


def as_tgz(base: Path, numbers: range) -> Path:
    return write_archive(base / "x.tgz", images(numbers))


def as_images(base: Path, numbers: range) -> Path:
    shutil.rmtree(base / "images", ignore_errors=True)
    return write_folder(base / "images", images(numbers))


WRITERS = [as_parquet, as_parts, as_arrow, as_csv, as_jsonl, as_npy, as_npz, as_hdf5, as_tar, as_tgz, as_images]
PLANNED = range(1000, 1300)
CHANGED = {
    "shorter": range(1000, 1150),
    "much shorter": range(1000, 1001),
    "longer": range(1000, 1500),
    "longer at the beginning": range(900, 1300),
    "others": range(500, 800),
}


def read(source: Source, segment: Segment) -> list[dict[str, object]]:
    batches = source.batches(segment, source.schema.names, 64, strict=False)
    return [row for batch in batches for row in batch.to_pylist()]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("change", CHANGED)
def test_a_file_that_changes_before_a_worker_opens_it(tmp_path: Path, write: Writer, change: str) -> None:
    data = detect(write(tmp_path, PLANNED))
    segments = open_source(data).segments(100)
    before = data.size
    path = write(tmp_path, CHANGED[change])
    if before is not None and path.stat().st_size == before:
        return  # of the very same size: the next test says what is read then
    with pytest.raises(DataError, match=r"submit the job again|added, removed or rewritten"):
        read(open_source(data), segments[0])


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("change", CHANGED)
@pytest.mark.parametrize("number", [0, 2])
def test_a_file_that_changes_after_a_worker_has_opened_it(
    tmp_path: Path, write: Writer, change: str, number: int
) -> None:
    source = open_source(detect(write(tmp_path, PLANNED)))
    segment = source.segments(100)[number]
    planned = read(source, segment)
    assert len(planned) == 100
    changed = open_source(detect(write(tmp_path, CHANGED[change])))
    there = [row for cut in changed.segments(None) for row in read(changed, cut)]
    try:
        found = read(source, segment)
    except DataError as error:
        said = str(error)
    else:
        assert len(found) == 100
        assert all(row in planned or row in there for row in found)
        return
    assert str(tmp_path) in said


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_that_is_emptied(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path, PLANNED)
    source = open_source(detect(path))
    segment = source.segments(100)[1]
    for file in [path] if path.is_file() else [*path.iterdir()]:
        file.write_bytes(b"")
    with pytest.raises(DataError, match=str(path)):
        read(source, segment)


@pytest.mark.parametrize(
    "name",
    ["parquet", "pq", "csv", "jsonl", "ndjson", "arrow", "feather", "npy", "npz", "h5", "hdf5", "tar", "tar.gz", "tgz"],
)
def test_an_empty_file_of_every_format_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / f"x.{name}").touch()
    with pytest.raises(InvalidInput, match=rf"data: .*x\.{name} is empty"):
        detect(tmp_path / f"x.{name}")


@pytest.mark.parametrize("write", [as_parquet, as_parts, as_arrow, as_csv, as_jsonl, as_npy, as_npz, as_hdf5, as_tar])
def test_a_file_without_rows_is_refused(tmp_path: Path, write: Writer) -> None:
    with pytest.raises(InvalidInput, match=r"data: .*(no rows|no images|is empty|no datasets)"):
        open_source(detect(write(tmp_path, range(0))), "data")


@pytest.mark.parametrize(
    ("name", "bad", "said"),
    [
        ("csv", b"70,\xfc\n", "row 60070: byte 0xfc is not UTF-8"),
        ("csv", b"70,x,y\n", "row 60070: .*Expected 2 columns, got 3"),
        ("csv", b"70\n", "row 60070: .*Expected 2 columns, got 1"),
        ("jsonl", b'{"a":70,"b":"\xfc"}\n', "row 60070: byte 0xfc is not UTF-8"),
        ("jsonl", b'{"a":70,"b":\n', "row 60070: "),
        ("jsonl", b"[70]\n", r"row 60070: "),
    ],
)
def test_a_bad_line_far_down_is_named_by_its_row(tmp_path: Path, name: str, bad: bytes, said: str) -> None:
    filler = b"z" * 100
    good = {"csv": b"1," + filler + b"\n", "jsonl": b'{"a":1,"b":"' + filler + b'"}\n'}[name]
    head = b"a,b\n" if name == "csv" else b""
    (tmp_path / f"x.{name}").write_bytes(head + good * 60_070 + bad + good * 100)
    source = open_source(detect(tmp_path / f"x.{name}"), "data")
    segments = source.segments(20_000)
    assert segments[-1].stop == 60_171
    assert all(len(read(source, segment)) == 20_000 for segment in segments[:-1])
    with pytest.raises(DataError, match=said):
        read(source, segments[-1])
