from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.segments import (
    MAX_ROWS_PER_SHARD,
    MIN_ROWS_PER_SHARD,
    Segment,
    choose_rows_per_shard,
    cut,
)
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import FileInput


def parquet_segments(path: Path, rows: int, group: int) -> list[Segment]:
    pq.write_table(pa.table({"a": pa.array(range(rows), pa.int32())}), path, row_group_size=group)
    return open_source(FileInput(uri=str(path), format="parquet")).segments(None)


@pytest.mark.parametrize(
    ("rows", "chosen"), [(1, MIN_ROWS_PER_SHARD), (100_000, 12_500), (10_000_000, MAX_ROWS_PER_SHARD)]
)
def test_the_size_of_a_shard(rows: int, chosen: int) -> None:
    assert choose_rows_per_shard(rows) == chosen


def test_parquet_is_cut_between_small_row_groups(tmp_path: Path) -> None:
    segments = parquet_segments(tmp_path / "x.parquet", 100_000, 5000)
    assert [segment.stop for segment in segments] == [*range(10_000, 100_001, 10_000)]


def test_a_large_row_group_is_cut_evenly(tmp_path: Path) -> None:
    sizes = [segment.rows for segment in parquet_segments(tmp_path / "x.parquet", 100_000, 100_000)]
    assert len(sizes) == 6
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == 100_000


def test_a_small_file_is_one_shard(tmp_path: Path) -> None:
    assert parquet_segments(tmp_path / "x.parquet", 10, 3) == [Segment(0, 10)]


def test_text_is_cut_by_rows_too(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a\n" + "1\n" * 50_000)
    segments = open_source(FileInput(uri=str(path), format="csv")).segments(None)
    assert [segment.rows for segment in segments] == [8192] * 6 + [848]
    assert [segment.offset for segment in segments] == [2 + 2 * 8192 * number for number in range(7)]
    assert sum(segment.length or 0 for segment in segments) == 100_000


def test_more_shards_than_fit_into_memory_are_refused() -> None:
    with pytest.raises(
        InvalidInput, match=r"^rows_per_shard: 2,147,483,647 rows in shards of 4 .*; give at least 2,148"
    ):
        cut([0, 2**31 - 1], 4)
    with pytest.raises(InvalidInput, match="rows_per_shard"):
        cut([0, 2**62], None)
    assert len(cut([0, 4_000], 4)) == 1_000
