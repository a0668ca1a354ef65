"""HDF5 files with which the HDF5 library itself never ends."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from longshore.shared.datasets.readers.hdf5 import Hdf5Source
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.model_formats.hdf5_process import read_hdf5
from tests.fuzz.targets.models import hdf5

#: Many times what reading a file of this size takes.
SECONDS = 2


def test_reading_that_does_not_end_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    content = hdf5()[0][""]
    path.write_bytes(content)
    (tmp_path / "files").mkdir()
    manifest, files = read_hdf5(path, tmp_path / "files", "path", SECONDS)
    assert manifest.family == "linear"
    assert all(file.is_file() for file in files.values())
    # Texts lie in a list of objects. One without a size is followed by itself.
    at = content.index(b'{"features"') + 5
    path.write_bytes(content[:at] + bytes(1024) + content[at:])
    with pytest.raises(
        InvalidInput, match=r"path: .*x\.h5 is a damaged HDF5 file: reading it does not end; export it again"
    ):
        read_hdf5(path, tmp_path / "files", "path", SECONDS)


@pytest.mark.parametrize("size", [0, 2**64 - 16])
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_list_of_texts_that_does_not_end_is_refused(tmp_path: Path, size: int, index: int, libver: str) -> None:
    path = tmp_path / "x.h5"
    texts = [f"{number} \N{EURO SIGN}" * 40 for number in range(3_000)]  # of many lists
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("text", data=texts, dtype=h5py.string_dtype())
        file.create_dataset("number", data=np.arange(3_000))
    source = Hdf5Source(str(path))
    (batch,) = source.batches(source.segments(None)[0], ["text", "number"], 3_000)
    assert batch.to_pydict() == {"text": texts, "number": list(range(3_000))}
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL", 100_000) + 16
    content[at : at + 2] = index.to_bytes(2, "little")
    content[at + 8 : at + 16] = size.to_bytes(8, "little")
    path.write_bytes(content)
    if (index, size) == (1, 0):  # a text without a character: the next begins early, and is not what it was
        content[at + 16 : at + 32] = bytes(16)
        path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"cannot read .*x\.h5: .*a list of its texts does not end; write the file again"
    ):
        list(source.batches(source.segments(None)[0], ["text", "number"], 3_000))


def test_rows_that_begin_as_such_a_list_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    letters = np.array([[*b"GCOL", 0, 255, 255, 255] * 4] * 3, np.uint8)
    with h5py.File(path, "w") as file:
        file.create_dataset("letters", data=letters)
    source = Hdf5Source(str(path))
    (batch,) = source.batches(source.segments(None)[0], ["letters"], 3)
    assert batch.to_pydict() == {"letters": letters.tolist()}
