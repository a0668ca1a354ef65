"""What happens when processes are killed, stopped or cut off in the middle of a job: each row exactly once."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import redis

from longshore.producers import Client, Job
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow

#: Rows of the job that is disturbed, and of each of its shards: each takes a while with the batches below.
ROWS, SHARD, BATCH = 40_000, 20_000, 1


@pytest.fixture(scope="module")
def worker_environment() -> Mapping[str, str]:
    # Shorter than the parent of a frozen child waits before it ends it: a worker that comes too late is seen, too.
    return {"LONGSHORE_LEASE": "2"}


@pytest.fixture(scope="module")
def data(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    client.train("digits", "mlp", digits.write(folder / "train.parquet"), "label", epochs=2).wait(TIMEOUT_S)
    return digits.write(folder / "rows.parquet", ROWS)


@pytest.fixture
def running(client: Client, data: Path) -> Job:
    """A job in the middle: some rows of a shard are computed, and not committed."""
    job = client.infer("digits", data, rows_per_shard=SHARD, batch_size=BATCH)
    wait_until(lambda: job.record().rows_running > 0, "the first progress of the job")
    return job


def check_complete(job: Job) -> None:
    """Every row has its result, once, and it is the right row's."""
    job.wait(TIMEOUT_S)
    table = job.results()
    assert table["row"].to_numpy().tolist() == list(range(ROWS))
    labels = table["label"].to_numpy()
    # The input repeats the same images, so the output repeats too.
    period = len(digits.digits()[0])
    assert np.array_equal(labels[period:], labels[:-period])


def test_the_child_is_killed(cluster: Cluster, running: Job) -> None:
    child = cluster.child_pids()[0]
    os.kill(child, signal.SIGKILL)
    check_complete(running)
    # Not when the lease has run out: the parent reports it at once.
    assert any("its process was killed (SIGKILL)" in error.message for error in running.errors())
    assert cluster.child_pids() != [child]


def test_the_whole_worker_is_killed(cluster: Cluster, running: Job) -> None:
    parent, child = cluster.worker_pids()[0], cluster.child_pids()[0]
    os.kill(parent, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(child), "the end of the killed worker's child")
    check_complete(running)
    assert any("lease ran out" in error.message for error in running.errors())


def test_a_stopped_worker_hands_its_shard_back(cluster: Cluster, running: Job) -> None:
    os.kill(cluster.worker_pids()[0], signal.SIGTERM)
    check_complete(running)
    # Handed back, not lost: the try does not count as one that failed.
    assert running.errors() == []
    assert max(shard.attempt for shard in running.shards()) == 2


def test_a_frozen_worker_cannot_commit_late(cluster: Cluster, running: Job) -> None:
    child = cluster.child_pids()[0]
    os.kill(child, signal.SIGSTOP)
    try:
        wait_until(lambda: any(shard.errors for shard in running.shards()), "the loss of the frozen attempt")
    finally:
        with suppress(ProcessLookupError):  # its parent has ended it
            os.kill(child, signal.SIGCONT)
    check_complete(running)


def test_a_cancelled_job_stops_and_writes_nothing_more(client: Client, running: Job) -> None:
    assert running.cancel()
    assert running.state is State.CANCELLED
    written = running.results().num_rows
    # The worker is free at once for the next job.
    client.infer("digits", digits.digits()[0][:1]).wait(TIMEOUT_S)
    assert running.results().num_rows == written
    running.retry()
    check_complete(running)


def test_redis_forgets_twenty_waiting_shards(cluster: Cluster, client: Client, running: Job) -> None:
    waiting = [client.infer("digits", digits.digits()[0][:2], rows_per_shard=1) for _ in range(10)]
    with redis.Redis.from_url(cluster.settings.redis_url) as connection:
        connection.flushall()
    client.wait([running, *waiting], TIMEOUT_S)
    check_complete(running)
    for job in waiting:
        assert [shard.state for shard in job.shards()] == [State.SUCCEEDED] * 2
        assert job.results()["row"].to_pylist() == [0, 1]


def test_the_relay_and_the_worker_outlive_a_restart_of_each_other(cluster: Cluster, client: Client, data: Path) -> None:
    cluster.stop_relay()
    job = client.infer("digits", data, rows_per_shard=SHARD, batch_size=BATCH)
    wait_until(lambda: job.record().rows_running > 0, "the first progress of the job")
    os.kill(cluster.child_pids()[0], signal.SIGKILL)
    cluster.start_relay()
    check_complete(job)
