"""The data of the demo."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from longshore.producers.cli.demo.data import write_digits


def test_the_split_is_the_same_each_time_and_has_every_image_once(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    one, two = write_digits(tmp_path), write_digits(tmp_path / "again")
    train, held_out = pq.read_table(one.train), pq.read_table(one.held_out)
    assert train.num_rows == one.train_rows
    assert train.num_rows + held_out.num_rows == 1797
    assert held_out["label"].to_pylist() == one.labels == two.labels
    assert pq.read_table(two.train).equals(train)
    assert train.schema.field("pixels").type == pa.list_(pa.float32(), 64)
    assert set(one.labels) == set("0123456789")
    images = {tuple(pixels) for table in (train, held_out) for pixels in table["pixels"].to_pylist()}
    assert len(images) == 1797
