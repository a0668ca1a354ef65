"""Trainings and inference on frames, masked arrays and folders as people have them, from the call to the notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from longshore.producers import Client
from longshore.shared.errors import InvalidInput
from tests.images import encoded, write_folder
from tests.waiting import TIMEOUT_S

ROWS = 120


def _columns() -> dict[str, list[object]]:
    a = np.random.default_rng(0).normal(size=ROWS) + np.arange(ROWS) % 2 * 4
    return {"a": a.tolist(), "y": ["near", "far"] * (ROWS // 2)}


@pytest.mark.parametrize("stream", [False, True])
def test_a_file_of_polars_with_an_index(client: Client, tmp_path: Path, stream: bool) -> None:
    frame = pl.DataFrame({"__index_level_0__": range(ROWS), **_columns(), "id": range(1, ROWS + 1)})
    frame = frame.with_columns(pl.col("y").cast(pl.Categorical))
    frame.write_ipc(tmp_path / "x.arrow")
    job = client.train(f"index{int(stream)}", "linear", str(tmp_path / "x.arrow"), "y", epochs=1, stream=stream or None)
    notes = job.wait(TIMEOUT_S).notes
    assert [note.split(" is ")[0].split(" counts ")[0] for note in notes] == [
        "column '__index_level_0__'",
        "column 'id'",
    ]


def test_a_frame_of_polars_is_trained_on_and_run(client: Client) -> None:
    frame = pl.DataFrame(_columns()).with_columns(pl.col("y").cast(pl.Enum(["near", "far"])))
    client.train("polars", "linear", frame, "y", epochs=1).wait(TIMEOUT_S)
    job = client.infer("polars", frame.drop("y"))
    assert job.wait(TIMEOUT_S).notes == []
    assert len(job.results()) == ROWS


def test_masked_values_are_missing(client: Client) -> None:
    rows = [{"x": np.ma.array([1.0, 2.0, -999.0], mask=[False, False, row == 7]), "y": float(row)} for row in range(20)]
    with pytest.raises(InvalidInput, match="row 7: column 'x': a null in the list"):
        client.train("masked", "linear", rows, "y")
    client.train("masked", "linear", rows[:7], "y", validation=0, epochs=1).wait(TIMEOUT_S)
    job = client.infer("masked", [{"x": row["x"]} for row in rows], max_row_errors=1)
    job.wait(TIMEOUT_S)
    assert [error.row for error in job.errors()] == [7]


def test_skipped_images_are_noted(client: Client, tmp_path: Path) -> None:
    files = {f"{name}/{row}.tif": encoded(shade, "tiff") for name, shade in (("a", 9), ("b", 200)) for row in range(6)}
    path = write_folder(tmp_path / "x", {**files, "c/1.heic": b"not read"})
    training = client.train(
        "tiff",
        "cnn",
        str(path),
        "label",
        config={"input_shape": [3, 4, 4], "channels": [4], "kernel_size": 3},
        epochs=1,
    )
    note = "skipped 1 files of other types: 1 .heic, such as 'c/1.heic'"
    assert note in training.wait(TIMEOUT_S).notes
    assert client.infer("tiff", str(path)).wait(TIMEOUT_S).notes == [note]
    assert note in client.evaluate("tiff", str(path)).wait(TIMEOUT_S).notes


def test_a_table_of_arrow_keeps_no_other_metadata(client: Client) -> None:
    table = pa.table(_columns()).replace_schema_metadata({"secret": "x"})
    assert client.train("metadata", "linear", table, "y", epochs=1).wait(TIMEOUT_S).notes == []
