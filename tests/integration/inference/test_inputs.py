"""Every kind of file gives what the same rows give from memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client
from longshore.shared.errors import InvalidInput
from tests.integration import digits
from tests.waiting import TIMEOUT_S

ROWS = 250


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    """Columns ``pixels`` and ``label``."""
    images, labels = digits.digits()
    return digits.table(images[:ROWS], labels[:ROWS])


@pytest.fixture(scope="module")
def expected(client: Client, rows: pa.Table) -> pa.Table:
    """What ``digits:1``, trained here, says to the rows in memory."""
    client.train("digits", "linear", rows, "label", epochs=2).wait(TIMEOUT_S)
    return client.infer("digits:1", rows).wait(TIMEOUT_S).results()


def write_arrow(rows: pa.Table, folder: Path) -> Path:
    with pa.ipc.new_file(str(folder / "rows.arrow"), rows.schema) as file:
        file.write_table(rows, max_chunksize=70)
    return folder / "rows.arrow"


def write_feather(rows: pa.Table, folder: Path) -> Path:
    pyarrow.feather.write_feather(rows, folder / "rows.feather", compression="zstd")
    return folder / "rows.feather"


def write_npy(rows: pa.Table, folder: Path) -> Path:
    np.save(folder / "rows.npy", digits.digits()[0][: len(rows)])
    return folder / "rows.npy"


def write_npz(rows: pa.Table, folder: Path) -> Path:
    images, labels = digits.digits()
    np.savez(folder / "rows.npz", pixels=images[: len(rows)], label=labels[: len(rows)])
    return folder / "rows.npz"


def write_parts(rows: pa.Table, folder: Path) -> Path:
    """Three files in folders of a partition column, of which the last is short."""
    for number, start in enumerate(range(0, len(rows), 100)):
        (folder / f"part={number}").mkdir()
        pq.write_table(rows.slice(start, 100), folder / f"part={number}" / "rows.parquet", row_group_size=40)
    return folder


def write_glob(rows: pa.Table, folder: Path) -> Path:
    return write_parts(rows, folder) / "part=*" / "*.parquet"


WRITERS = [write_arrow, write_feather, write_npy, write_npz, write_parts, write_glob]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("rows_per_shard", [None, 60])
def test_inference_is_as_from_memory(
    client: Client,
    rows: pa.Table,
    expected: pa.Table,
    tmp_path: Path,
    write: Callable[[pa.Table, Path], Path],
    rows_per_shard: int | None,
) -> None:
    job = client.infer("digits:1", write(rows, tmp_path), rows_per_shard=rows_per_shard, batch_size=32)
    results = job.wait(TIMEOUT_S).results()
    assert results.column("row").to_pylist() == list(range(ROWS))
    assert results.column("label") == expected.column("label")
    # Batches of another size may be summed in another order.
    np.testing.assert_allclose(results.column("score"), expected.column("score"), rtol=1e-4)


@pytest.mark.parametrize("write", [write_arrow, write_npz])
def test_training_is_as_from_memory(
    client: Client, rows: pa.Table, tmp_path: Path, write: Callable[[pa.Table, Path], Path]
) -> None:
    options = {"epochs": 1, "batch_size": 50}
    memory = client.train("from-memory", "linear", rows, "label", **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    file = client.train("from-file", "linear", write(rows, tmp_path), "label", **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    found, wanted = ([(metric.name, metric.value) for metric in job.metrics()] for job in (file, memory))
    assert found == wanted


def test_an_array_of_another_width_is_refused(client: Client, expected: pa.Table, tmp_path: Path) -> None:
    assert len(expected) == ROWS
    np.save(tmp_path / "rows.npy", np.zeros((2, 63), np.float32))
    with pytest.raises(InvalidInput, match=r"data: rows of shape \(63,\), but digits:1 takes \(64,\)"):
        client.infer("digits:1", tmp_path / "rows.npy")
