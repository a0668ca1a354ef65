"""An exported HDF5 file with which the HDF5 library itself never ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from longshore.shared.errors import InvalidInput
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
