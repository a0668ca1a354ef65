"""NumPy files: the rows of the array, and nothing unpickled."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.inline import to_table
from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.source import Source
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.specs.jobs import FileInput
from longshore.shared.specs.signature import Feature
from longshore.shared.vocabulary import DataFormat

DTYPES = ["?", "i1", "<u2", ">i4", "<i8", "<f2", ">f4", "<f8", "g"]
SHAPES = st.lists(st.integers(1, 4), max_size=2).flatmap(lambda rest: st.tuples(st.integers(1, 30), st.just(rest)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("numpy")


def opened(path: Path) -> Source:
    return open_source(detect(path), "data")


def read(source: Source, step: int | None, batch_rows: int) -> pa.Table:
    names = source.schema.names[::-1]
    batches = [batch for segment in source.segments(step) for batch in source.batches(segment, names, batch_rows)]
    assert all(1 <= batch.num_rows <= batch_rows for batch in batches)
    return pa.Table.from_batches(batches).select(source.schema.names).combine_chunks()


def numbers(dtype: str, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    return (np.arange(np.prod(shape)) % 100).reshape(shape).astype(dtype)


@given(SHAPES, st.sampled_from(DTYPES), st.booleans(), st.one_of(st.none(), st.integers(1, 31)), st.integers(1, 31))
@settings(deadline=None)
def test_a_file_is_what_the_array_is_in_memory(
    folder: Path, shape: tuple[int, list[int]], dtype: str, fortran: bool, step: int | None, batch_rows: int
) -> None:
    array = numbers(dtype, (shape[0], *shape[1]))
    np.save(folder / "x.npy", np.asfortranarray(array) if fortran else array)
    source = opened(folder / "x.npy")
    expected = to_table(array)
    assert source.schema == expected.schema
    assert source.rows == shape[0]
    assert read(source, step, batch_rows) == expected


@given(st.integers(1, 30), st.booleans(), st.one_of(st.none(), st.integers(1, 31)), st.integers(1, 31))
@settings(deadline=None)
def test_an_archive_has_a_column_for_each_array(
    folder: Path, rows: int, compressed: bool, step: int | None, batch_rows: int
) -> None:
    arrays = {"pixels": numbers("<f4", (rows, 3)), "label": numbers("<i8", (rows,))}
    save: Callable[..., None] = np.savez_compressed if compressed else np.savez
    save(folder / "x.npz", **arrays)
    assert read(opened(folder / "x.npz"), step, batch_rows) == to_table(arrays)


def test_rows_are_split_into_the_columns_of_a_version(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.save(tmp_path / "x.npy", array)
    features = (Feature(name="a"), Feature(name="bc", width=2))
    source = open_source(FileInput(uri=str(tmp_path / "x.npy"), format="npy", features=features))
    assert source.schema.names == ["a", "bc"]
    assert source.head(1).to_pylist() == [{"a": 0, "bc": [1, 2]}]
    assert read(source, 3, 2).to_pylist() == [{"a": row[0], "bc": [*row[1:]]} for row in array.tolist()]
    np.save(tmp_path / "x.npy", array[:, :2])
    changed = open_source(FileInput(uri=str(tmp_path / "x.npy"), format="npy", features=features))
    with pytest.raises(DataError, match="a row has 2 numbers, but had 3"):
        [*changed.batches(changed.segments(None)[0], ["a"], 9)]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([{}, None]), "object"),
        (np.array(["a"]), "<U1"),
        (np.array([1j]), "complex128"),
        (np.array(["2024-01-01"], "M8[D]"), "datetime64"),
        (np.zeros(2, [("a", "i4")]), "save numbers"),
        (np.float32(1), r"shape \(\)"),
        (np.zeros((3, 0)), r"shape \(3, 0\)"),
        (np.zeros((0, 3)), "no rows"),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_what_is_no_array_of_numbers_is_refused(
    tmp_path: Path, array: npt.NDArray[np.generic], said: str, suffix: str
) -> None:
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(path, array, allow_pickle=True)
    else:
        np.savez(path, some=array)
    with pytest.raises(InvalidInput, match=said) as refused:
        opened(path)
    assert str(path) in refused.value.reason


def npz(**members: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.npy", b"hello", "magic"),
        ("x.npy", b"\x93NUMPY\x09\x00", "version"),
        ("x.npz", b"hello", "zip"),
        ("x.npz", npz(), "no arrays"),
        ("x.npz", npz(a_txt=b"x"), "'a.txt' is not an array"),
        ("x.npz", npz(a_npy=b"x"), "array 'a'"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=said):
        opened(tmp_path / name)


def test_arrays_of_different_lengths_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros(3), b=np.zeros(4))
    with pytest.raises(InvalidInput, match="different lengths: 'a' 3, 'b' 4"):
        opened(tmp_path / "x.npz")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_file_that_is_cut_off(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, np.zeros(1000))
    source = opened(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InvalidInput, match=str(path)):
        opened(path)
    with pytest.raises(DataError, match=str(path)):
        [*source.batches(source.segments(None)[0], source.schema.names, 100)]


def test_fewer_rows_than_were_planned(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(4))
    (segment,) = opened(tmp_path / "x.npy").segments(None)
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(DataError, match="has 3 rows, but had at least 4"):
        [*opened(tmp_path / "x.npy").batches(segment, ["features"], 10)]


@pytest.mark.parametrize("form", ["npy", "npz"])
def test_remote_files(form: DataFormat) -> None:
    sink = io.BytesIO()
    (np.save if form == "npy" else np.savez)(sink, np.arange(5))
    files = fsspec.filesystem("memory")
    files.pipe(f"/numpy-test/x.{form}", sink.getvalue())
    try:
        source = open_source(detect(f"memory://numpy-test/x.{form}"))
        assert read(source, 2, 2).column(0).to_pylist() == [0, 1, 2, 3, 4]
    finally:
        files.rm("/numpy-test", recursive=True)
