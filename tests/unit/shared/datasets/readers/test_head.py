"""The first rows of a file, read without the others."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.open import open_source


def write(folder: Path, suffix: str, rows: int) -> Path:
    path = folder / f"rows{suffix}"
    table = pa.table({"a": pa.array(range(rows), pa.int64()), "b": pa.array([f"x{row}" for row in range(rows)])})
    if suffix == ".parquet":
        pq.write_table(table, path, row_group_size=3)
    elif suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        path.write_text("".join(f'{{"a": {row}, "b": "x{row}"}}\n' for row in range(rows)))
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_the_first_rows_come_with_every_column(tmp_path: Path, suffix: str) -> None:
    source = open_source(detect(write(tmp_path, suffix, 10)))
    assert source.head(3).to_pylist() == [{"a": row, "b": f"x{row}"} for row in range(3)]
    assert source.head().num_rows in (3, 10)  # at least the first row group, at most all
    assert source.head().schema.names == ["a", "b"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_file_without_rows_has_an_empty_head(tmp_path: Path, suffix: str) -> None:
    head = open_source(detect(write(tmp_path, suffix, 0))).head()
    assert head.num_rows == 0
    assert head.schema.names == ["a", "b"]
