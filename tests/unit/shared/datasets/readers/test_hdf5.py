"""HDF5 files: the rows of their datasets, and nothing that lies elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import fsspec
import h5py
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.inline import to_table
from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.segments import Segment
from longshore.shared.datasets.source import Source
from longshore.shared.errors import DataError, InvalidInput
from tests.unit.shared.datasets.readers.test_numpy_files import DTYPES, numbers, read

SHAPES = st.lists(st.integers(1, 4), max_size=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hdf5")


def opened(path: Path) -> Source:
    return open_source(detect(path), "data")


@given(
    st.integers(1, 30),
    SHAPES,
    st.sampled_from(DTYPES),
    st.booleans(),
    st.one_of(st.none(), st.integers(1, 31)),
    st.integers(1, 31),
)
@settings(deadline=None)
def test_a_dataset_is_what_the_array_is_in_memory(
    folder: Path, rows: int, rest: list[int], dtype: str, chunked: bool, step: int | None, batch_rows: int
) -> None:
    array = numbers(dtype, (rows, *rest))
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("features", data=array, chunks=chunked or None, compression="gzip" if chunked else None)
    source = opened(folder / "x.h5")
    expected = to_table(array)
    assert source.schema == expected.schema
    assert source.rows == rows
    assert read(source, step, batch_rows) == expected


def test_groups_and_texts(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["label"] = ["grüße", "", "b"]
        file["inner/fixed"] = np.array([b"ab", b"", b"abc"])
        file["inner/deep/x"] = np.arange(6, dtype=np.uint8).reshape(3, 2)
        file["version"] = 3
        file["nothing"] = h5py.Empty("f4")
        file["type"] = np.dtype("i4")
        file["inner/again"] = file["inner"]
        file["alias"] = h5py.SoftLink("/label")
    source = opened(tmp_path / "x.h5")
    assert source.schema == pa.schema(
        {"inner/deep/x": pa.list_(pa.uint8(), 2), "inner/fixed": pa.string(), "label": pa.string()}
    )
    batches = [*source.batches(Segment(1, 3), ["label", "inner/fixed", "inner/deep/x"], 2)]
    assert [row for batch in batches for row in batch.to_pylist()] == [
        {"label": "", "inner/fixed": "", "inner/deep/x": [2, 3]},
        {"label": "b", "inner/fixed": "abc", "inner/deep/x": [4, 5]},
    ]
    assert source.head(1).column("label").to_pylist() == ["grüße"]


def external_storage(file: h5py.File) -> None:
    file.create_dataset("x", (4,), dtype="u1", external="/etc/hostname")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file.create_virtual_dataset("x", layout)


def external_link(file: h5py.File) -> None:
    file["x"] = np.arange(4)
    file["y"] = h5py.ExternalLink("other.h5", "/y")


def references(file: h5py.File) -> None:
    file.create_dataset("x", (4,), dtype=h5py.ref_dtype)


def ragged(file: h5py.File) -> None:
    file.create_dataset("x", (4,), dtype=h5py.vlen_dtype(np.int32))


def opaque(file: h5py.File) -> None:
    file["x"] = np.arange(4).astype("M8[s]").astype(h5py.opaque_dtype("M8[s]"))


def compound(file: h5py.File) -> None:
    file["x"] = np.zeros(4, [("a", "i4")])


def nested_texts(file: h5py.File) -> None:
    file["x"] = np.array([[b"a", b"b"]])


def lengths(file: h5py.File) -> None:
    file["x"], file["g/y"] = np.zeros(3), np.zeros(4)


def claims(file: h5py.File) -> None:
    file.create_dataset("x", (10**15,), chunks=(1000,), dtype="f4")


def wide(file: h5py.File) -> None:
    file.create_dataset("x", (2, 10**15), chunks=(1, 1000), dtype="f4")


def nothing(file: h5py.File) -> None:
    file["g/version"] = 1


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (external_storage, "'x' is stored in other files"),
        (virtual, "'x' is stored in other files"),
        (external_link, "'y' is a link to another file"),
        (references, "'x' has lists of different lengths or references"),
        (ragged, "'x' has lists of different lengths or references"),
        (opaque, "'x' has datetime64"),
        (compound, "'x' has .*'a'"),
        (nested_texts, "one text per row"),
        (lengths, "different lengths: 'g/y' 4, 'x' 3"),
        (claims, "claims 1000000000000000 rows"),
        (wide, "at most 268,435,456 are read"),
        (nothing, "no datasets with rows"),
    ],
)
def test_what_is_no_column_is_refused(tmp_path: Path, write: Callable[[h5py.File], None], said: str) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write(file)
    with pytest.raises(InvalidInput, match=said) as refused:
        opened(tmp_path / "x.h5")
    assert str(tmp_path / "x.h5") in refused.value.reason


def test_text_that_is_not_utf8_is_named_by_its_row(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["t"] = np.array([b"a", b"b", b"c", b"\xfc"])
    with pytest.raises(DataError, match="column 't', row 3: not UTF-8"):
        [*opened(tmp_path / "x.h5").batches(Segment(1, 4), ["t"], 2)]


def test_a_file_that_is_cut_off_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(100_000)
    source = opened(path)
    batches = source.batches(Segment(0, 100_000), ["x"], 1000)
    next(batches)
    path.write_bytes(path.read_bytes()[:5000])
    # HDF5 itself would go on with zeros.
    with pytest.raises(DataError, match="was shortened while it was read"):
        next(batches)
    with pytest.raises(InvalidInput, match="truncated"):
        opened(path)
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(7)
    with pytest.raises(DataError, match="was replaced"):
        next(source.batches(Segment(0, 1), ["x"], 1))
    with pytest.raises(DataError, match="has 7 rows, but had at least 9"):
        [*opened(path).batches(Segment(0, 9), ["x"], 10)]


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"hello")
    with pytest.raises(InvalidInput, match=r"x\.h5: .*signature"):
        opened(tmp_path / "x.h5")


def test_remote_files() -> None:
    sink = io.BytesIO()
    with h5py.File(sink, "w") as file:
        file["x"] = np.arange(5)
    files = fsspec.filesystem("memory")
    files.pipe("/hdf5-test/x.h5", sink.getvalue())
    try:
        source = open_source(detect("memory://hdf5-test/x.h5"))
        assert read(source, 2, 2).column(0).to_pylist() == [0, 1, 2, 3, 4]
    finally:
        files.rm("/hdf5-test", recursive=True)
