"""A Parquet file that ends the process of who asks pyarrow for the metadata of its columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.shared.datasets.readers.parquet import ParquetSource
from longshore.shared.errors import DataError

#: The begin of a list of two 64-bit integers in the footer: how many values of a list column begin a row, and do not.
HISTOGRAM = bytes.fromhex("29260402")


def test_a_damaged_histogram_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": [[1, 2], [3]]}), path)
    assert ParquetSource(str(path)).rows == 2
    content = bytearray(path.read_bytes())
    content[content.index(HISTOGRAM) + 1] += 1 << 4  # of three
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*x\.parquet: .*histogram size mismatch"):
        ParquetSource(str(path))
