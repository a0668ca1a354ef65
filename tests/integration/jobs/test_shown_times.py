"""The times and speeds that people are shown are those of a clock on the wall.

A network that sleeps for half a second with each batch gives every job a time that it takes at least, and the caller's
own clock one that it takes at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client, Job
from longshore.producers.reporting.progress import progress_of
from tests.integration.cluster import Cluster
from tests.integration.jobs.hostile import SLOW_S, Deed, hostile_client, install
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow

#: Batches of each job.
BATCHES = 5
#: Seconds that loading a version takes.
LOADING_S = 3.0


@pytest.fixture(scope="module")
def worker_environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    path = install(tmp_path_factory.mktemp("installed"))
    return {"PYTHONPATH": path, "HOSTILE_LOADING_S": str(LOADING_S)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Rows that take time."""
    path = tmp_path_factory.mktemp("data") / "rows.parquet"
    pq.write_table(pa.table({"x": [float(Deed.SLOW)] * BATCHES, "y": [0.0, 1.0] * 2 + [1.0]}), path)
    return str(path)


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    with hostile_client(cluster) as client:
        yield client


Submit = Callable[[Client, str, Path], Job]
#: Each runs at least so many slow batches one after the other, by the name of the job.
JOBS: dict[str, tuple[int, Submit]] = {
    "rows in memory": (
        BATCHES,
        lambda client, _, __: client.infer("hostile", [{"x": float(Deed.SLOW)}] * BATCHES, batch_size=1),
    ),
    "one row": (1, lambda client, _, __: client.infer("hostile", [{"x": float(Deed.SLOW)}])),
    "a file in one shard": (BATCHES, lambda client, data, _: client.infer("hostile", data, batch_size=1)),
    "a file in shards": (
        BATCHES,
        lambda client, data, _: client.infer("hostile", data, batch_size=1, rows_per_shard=1),
    ),
    "a file to a file": (
        BATCHES,
        lambda client, data, folder: client.infer("hostile", data, batch_size=1, output=f"{folder}/out/*.parquet"),
    ),
    "evaluation": (BATCHES, lambda client, data, _: client.evaluate("hostile", data, target="y", batch_size=1)),
    "training": (
        2 * BATCHES,
        lambda client, data, _: client.train(
            "slower", "hostile", data, "y", epochs=2, batch_size=1, validation=0, standardize=False, task="regression"
        ),
    ),
}


@pytest.mark.parametrize("name", JOBS)
def test_the_duration_of_a_job_is_that_of_its_work(client: Client, data: str, tmp_path: Path, name: str) -> None:
    batches, submit = JOBS[name]
    started = time.monotonic()
    job = submit(client, data, tmp_path).wait(TIMEOUT_S)
    elapsed = time.monotonic() - started
    shown = progress_of(job.record())
    assert batches * SLOW_S <= shown.seconds <= elapsed
    assert shown.rate is not None
    assert shown.done / elapsed <= shown.rate <= shown.done / (batches * SLOW_S)


def test_the_speed_of_a_job_that_runs_is_that_of_its_rows_and_not_of_loading_its_model(client: Client) -> None:
    rows = [{"x": float(number), "y": number % 2} for number in range(20)]
    client.train("fresh", "hostile", rows, "y", epochs=1, standardize=False, task="regression").wait(TIMEOUT_S)
    started = time.monotonic()
    job = client.infer("fresh", [{"x": float(Deed.SLOW)}] * 1000, batch_size=1)
    wait_until(lambda: progress_of(job.record()).done >= BATCHES, "the fifth batch")
    shown = progress_of(job.record())
    elapsed = time.monotonic() - started
    job.cancel()
    assert shown.rate is not None
    assert (BATCHES - 1) / (elapsed - LOADING_S) <= shown.rate <= 1 / SLOW_S
    assert shown.remaining is not None
    assert (1000 - shown.done) * SLOW_S - elapsed <= shown.remaining <= 1000 / shown.rate
