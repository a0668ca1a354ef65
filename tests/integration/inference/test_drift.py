"""Rows that differ from those of the training: noted by the job, with a metric for each shard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client, Job
from tests.waiting import TIMEOUT_S

ROWS = 2000


def table(seed: int, shift: float = 0.0) -> pa.Table:
    draw = np.random.default_rng(seed)
    size = draw.normal(size=ROWS) + shift
    color = draw.choice(["red", "blue", "green"], ROWS)
    return pa.table({"size": size, "color": color, "y": np.where(size > shift, "large", "small")})


@pytest.fixture(scope="module")
def trained(client: Client) -> Job:
    return client.train("sizes", "linear", table(0), "y", epochs=1).wait(TIMEOUT_S)


def drift(job: Job) -> dict[tuple[int, str], float]:
    return {(metric.step, metric.name): metric.value for metric in job.metrics()}


@pytest.mark.usefixtures("trained")
def test_rows_like_those_of_the_training_are_not_noted(client: Client) -> None:
    job = client.infer("sizes", table(1)).wait(TIMEOUT_S)
    assert job.record().notes == []
    assert set(drift(job)) == {(0, "drift")}
    assert drift(job)[0, "drift"] < 0.1


@pytest.mark.usefixtures("trained")
def test_each_shard_of_rows_that_differ_has_its_metric(client: Client, tmp_path: Path) -> None:
    pq.write_table(pa.concat_tables([table(1), table(2, shift=3.0)]), tmp_path / "rows.parquet", row_group_size=ROWS)
    job = client.infer("sizes", tmp_path / "rows.parquet", rows_per_shard=ROWS).wait(TIMEOUT_S)
    [note] = job.record().notes
    assert "the values of 'size' are distributed otherwise" in note
    measured = drift(job)
    assert set(measured) == {(0, "drift"), (ROWS, "drift"), (ROWS, "drift.size")}
    assert measured[0, "drift"] < 0.1
    assert measured[ROWS, "drift"] == measured[ROWS, "drift.size"] > 1


@pytest.mark.usefixtures("trained")
def test_a_job_that_writes_files_notes_it_too(client: Client, tmp_path: Path) -> None:
    job = client.infer("sizes", table(2, shift=3.0), output=f"{tmp_path}/*.parquet").wait(TIMEOUT_S)
    assert "the values of 'size' are distributed otherwise" in job.record().notes[0]
    assert (0, "drift.size") in drift(job)
