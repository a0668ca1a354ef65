"""Small files that claim or expand to far more than they store are refused with the limit, before memory is taken."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.shared import limits
from longshore.shared.datasets import bounds
from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.inline import to_table
from longshore.shared.datasets.open import open_source
from longshore.shared.errors import DataError, InvalidInput, LongshoreError

#: Far more than any of the files has.
MAX_FILE_BYTES = 1_000_000
ROW = 300 << 20


def read_all(path: Path) -> int:
    """Open a file and read all its rows, as a client and a worker do. Returns how many there are."""
    source = open_source(detect(path), "data")
    rows = 0
    for segment in source.segments(None):
        for batch in source.batches(segment, source.schema.names, 64):
            rows += batch.num_rows
    return rows


def header(shape: tuple[int, ...]) -> bytes:
    """A NumPy file of bytes without its values."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return content.getvalue()


def huge_npy(path: Path) -> None:
    with path.open("wb") as file:
        file.write(header((2, ROW)))
        file.truncate(file.tell() + 2 * ROW)  # takes no space on the disk


def huge_npz(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        member.write(header((1, 1 << 20)) + bytes(1 << 20))


def huge_parquet_list(path: Path) -> None:
    rows = pa.array([np.zeros(1 << 20, np.int8)])
    pq.write_table(pa.table({"x": rows}), path, compression="zstd")


def huge_parquet_text(path: Path) -> None:
    pq.write_table(pa.table({"x": ["a" * (5 << 20)]}), path, compression="zstd")


def huge_batch(path: Path) -> None:
    table = pa.table({"x": np.zeros(1 << 20), "y": np.zeros(1 << 20)})
    with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)


def run_ends(length: int) -> pa.Array:
    return pa.RunEndEncodedArray.from_arrays(pa.array([length], pa.int32()), pa.array([1.5]))


def huge_runs(path: Path) -> None:
    table = pa.table({"x": run_ends(2**31 - 1)})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


def huge_text_runs(path: Path) -> None:
    values = pa.RunEndEncodedArray.from_arrays(pa.array([1 << 20], pa.int32()), pa.array(["a" * 10_000]))
    table = pa.table({"x": values})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


def huge_chunk(path: Path) -> None:
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", (1 << 21, 200), "u1", chunks=(1 << 21, 200), compression="gzip")
        dataset.id.write_direct_chunk((0, 0), b"x")


def huge_hdf5_row(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10, ROW), "u1")


def huge_hdf5_text(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10,), f"S{ROW}", chunks=(1,))


def endless_line(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b'{"x": "')
        file.truncate(40 << 20)


def endless_csv(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b'x\n"')
        file.truncate(40 << 20)


def wide_csv(path: Path) -> None:
    path.write_text(",".join(map(str, range(bounds.MAX_COLUMNS + 1))) + "\n1\n")


def many_members(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for number in range(3000):
            archive.addfile(tarfile.TarInfo(f"{number}.png"))


#: The limits that a test lowers, so that a bomb is small and quick to make.
SMALL_ROWS, SMALL_BATCHES = {"MAX_ROW_BYTES": 1 << 19}, {"MAX_BATCH_BYTES": 1 << 20}
BOMBS: dict[str, tuple[str, Callable[[Path], None], dict[str, int], str]] = {
    "npy": ("a.npy", huge_npy, {}, r"an array has rows of 314,572,800 bytes, and at most 268,435,456 are read; split"),
    "npz": ("a.npz", huge_npz, SMALL_ROWS, r"array 'x': an array has rows of 1,048,576 bytes, and at most 524,288"),
    "parquet list": (
        "a.parquet",
        huge_parquet_list,
        SMALL_ROWS,
        r"column 'x.list.element' has rows of 4,194,304 bytes",
    ),
    "parquet text": (
        "a.parquet",
        huge_parquet_text,
        SMALL_ROWS,
        r"row group 0 has rows of [\d,]+ bytes, and",
    ),
    "compressed batch": (
        "a.arrow",
        huge_batch,
        SMALL_BATCHES,
        r"batch 0 expands to 16,777,216 bytes, and at",
    ),
    "runs": ("a.arrow", huge_runs, {}, r"run-end encoded column expands to 17,179,869,176 bytes, and at most 4,294"),
    "text runs": ("a.arrow", huge_text_runs, {}, r"run-end encoded column expands to 10,485,760,000 bytes"),
    "chunk": ("a.h5", huge_chunk, {}, r"'x' has chunks of shape \(2097152, 200\), and at most 268,435,456 bytes"),
    "hdf5 row": ("a.h5", huge_hdf5_row, {}, r"dataset 'x' has rows of 314,572,800 bytes, and at most 268,435,456"),
    "hdf5 text": ("a.h5", huge_hdf5_text, {}, r"dataset 'x' has rows of 314,572,800 bytes, and at most 268,435,456"),
    "json line": (
        "a.jsonl",
        endless_line,
        SMALL_ROWS,
        r"row at byte 0 does not end within 524,288 bytes, the most",
    ),
    "csv row": ("a.csv", endless_csv, SMALL_ROWS, r"row at byte \d does not end within 524,288 bytes, the most"),
    "csv header": ("a.csv", wide_csv, {}, r"the header has 100,001 columns, and at most 100,000 are read"),
    "members": ("a.tar.gz", many_members, {"MAX_MEMBERS": 1000}, r"more than 1,000 files, the most that an archive"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_with_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bomb: str) -> None:
    name, write, lowered, message = BOMBS[bomb]
    path = tmp_path / name
    write(path)
    assert path.stat().st_blocks * 512 < MAX_FILE_BYTES
    for limit, value in lowered.items():
        monkeypatch.setattr(bounds, limit, value)
    with pytest.raises(LongshoreError, match=message) as refused:
        read_all(path)
    assert isinstance(refused.value, DataError | InvalidInput)
    assert str(path) in str(refused.value)


def test_rows_that_expand_in_memory_are_refused() -> None:
    with pytest.raises(InvalidInput, match="data: a run-end encoded column expands to"):
        to_table(pa.table({"x": run_ends(2**31 - 1)}))
    assert to_table(pa.table({"x": run_ends(1000)})).num_rows == 1000


def test_large_rows_are_read_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_ROW_BYTES", 4000)
    values = np.arange(30 * 100, dtype=np.float64).reshape(30, 100)
    np.save(tmp_path / "a.npy", values)
    np.savez_compressed(tmp_path / "a.npz", x=values, y=values)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = values
    for name, at_once in {"a.npy": 5, "a.npz": 2, "a.h5": 5}.items():
        source = open_source(detect(tmp_path / name), "data")
        [segment] = source.segments(30)
        batches = list(source.batches(segment, source.schema.names, 64))
        assert {batch.num_rows for batch in batches} == {at_once}
        read = np.concatenate([batch.column(0).flatten().to_numpy() for batch in batches])
        assert np.array_equal(read.reshape(30, 100), values)


def test_sizes_below_the_limits_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huge_batch(tmp_path / "a.arrow")
    assert read_all(tmp_path / "a.arrow") == 1 << 20
    monkeypatch.setattr(bounds, "MAX_BATCH_BYTES", 16 << 20)
    assert read_all(tmp_path / "a.arrow") == 1 << 20
    with gzip.open(tmp_path / "a.gz", "wb") as file:
        file.write(b"no format of its own")
    with pytest.raises(InvalidInput, match="not a known format"):
        detect(tmp_path / "a.gz")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_shards_are_limited_while_the_rows_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).write_text("x\n" * 10 + "x\n" if name == "a.csv" else '{"x": 1}\n' * 10)
    source = open_source(detect(tmp_path / name), "data")
    monkeypatch.setattr(limits, "MAX_SHARDS", 4)
    with pytest.raises(
        InvalidInput, match=r"rows_per_shard: more than 8 rows \(10 were counted\) would be more than 4 "
    ):
        source.segments(2)
    assert len(source.segments(3)) == 4
    assert len(source.segments(None)) == 1
