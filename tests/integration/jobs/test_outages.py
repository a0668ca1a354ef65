"""The store or the data is away for a while: jobs wait for it, say so, and lose no attempt. What is gone ends them."""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client, Job
from longshore.shared.store.blobs import blob_path
from longshore.shared.vocabulary import State
from tests.http_server import Handler, serving
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.waiting import TIMEOUT_S, wait_until

ROWS = 40
#: What the child may write to a file while the disk is full for it, in bytes: more than the log has.
FULL_DISK = 8_000_000


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    with cluster.client() as client:
        images, labels = digits.digits()
        client.train("digits", "linear", digits.table(images, labels), "label", epochs=1).wait(TIMEOUT_S)
        yield client


@contextmanager
def away(path: Path) -> Iterator[None]:
    """Rename a file or a folder away, and back."""
    elsewhere = path.with_name(f"{path.name}.away")
    path.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(path)


def cold(cluster: Cluster) -> None:
    """Replace the process that computes by one that has loaded nothing."""
    pids, workers = cluster.child_pids(), cluster.worker_pids()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    cluster.wait_for_workers(other_than=workers)
    assert set(cluster.child_pids()).isdisjoint(pids)


def waits(job: Job) -> str | None:
    return job.record().waits_for


def reason(job: Job) -> str:
    """For what a job waits, as soon as it does: between two looks it is running."""
    seen: list[str] = []

    def look() -> bool:
        seen.extend(filter(None, [waits(job)]))
        return bool(seen)

    wait_until(look, "the job to wait")
    return seen[0]


def check_succeeded(job: Job) -> None:
    """It has succeeded, and no attempt counts as failed."""
    job.wait(TIMEOUT_S)
    assert job.errors() == []
    assert all(shard.attempt_limit - shard.outages == 3 for shard in job.shards())


def test_a_cold_worker_waits_for_the_store(cluster: Cluster, client: Client) -> None:
    cold(cluster)
    with away(Path(cluster.settings.store.removeprefix("file://"))):
        jobs = [client.infer("digits", digits.digits()[0][:2]) for _ in range(20)]
        for job in jobs:
            assert "mount or restore it" in reason(job)
        assert not Path(cluster.settings.store.removeprefix("file://")).exists()
    for job in jobs:
        check_succeeded(job)
        assert waits(job) is None


def test_a_training_waits_for_the_store(cluster: Cluster, client: Client) -> None:
    path = digits.write(Path(cluster.folder) / "train.parquet")
    with away(Path(cluster.settings.store.removeprefix("file://"))):
        job = client.train("later", "linear", path, "label", epochs=1)
        assert "mount or restore it" in reason(job)
    check_succeeded(job)
    check_succeeded(client.infer("later", digits.digits()[0][:2]))


def test_a_deadline_ends_a_job_that_waits(cluster: Cluster, client: Client) -> None:
    path = digits.write(Path(cluster.folder) / "train.parquet")
    with away(Path(cluster.settings.store.removeprefix("file://"))):
        job = client.train("never", "linear", path, "label", epochs=1, timeout=2)
        client.wait([job], TIMEOUT_S)
    assert job.state is State.FAILED
    assert "timeout" in str(job.record().error)


def test_a_blob_that_alone_is_missing_ends_the_job(cluster: Cluster, client: Client) -> None:
    images, labels = digits.digits()
    client.train("short", "linear", digits.table(images, labels), "label", epochs=1).wait(TIMEOUT_S)
    digest = client.models.get("short").digest
    with away(Path(cluster.settings.store.removeprefix("file://")) / blob_path(digest)):
        job = client.infer("short", images[:2])
        client.wait([job], TIMEOUT_S)
    assert job.state is State.FAILED
    assert f"{digest} in store" in str(job.record().error)
    assert job.shards()[0].outages >= 1


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "another").touch()
    return digits.write(tmp_path / "rows.parquet", ROWS)


def test_a_file_that_comes_back_is_read(cluster: Cluster, client: Client, data: Path) -> None:
    job = submit_and_hide(cluster, client, data, data)
    check_succeeded(job)
    assert job.results().num_rows == ROWS


def test_a_folder_that_comes_back_is_read(cluster: Cluster, client: Client, data: Path) -> None:
    job = submit_and_hide(cluster, client, data, data.parent)
    check_succeeded(job)


@contextmanager
def nothing_is_read(cluster: Cluster) -> Iterator[None]:
    """The workers' children stand still."""
    children = cluster.child_pids()
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in children:
            os.kill(pid, signal.SIGCONT)


def submit_and_hide(cluster: Cluster, client: Client, data: Path, hidden: Path) -> Job:
    """Submit a job, hide its data before it is read, and show it after the first look."""
    elsewhere = hidden.with_name(f"{hidden.name}.away")
    with nothing_is_read(cluster):
        job = client.infer("digits", data, rows_per_shard=1, batch_size=1)
        hidden.rename(elsewhere)
    try:
        wait_until(lambda: any(shard.outages for shard in job.shards()) or job.state is State.SUCCEEDED, "a look")
    finally:
        elsewhere.rename(hidden)
    assert any(shard.outages for shard in job.shards()), "all shards were read before the data was hidden"
    return job


def test_a_file_that_stays_away_ends_the_job(cluster: Cluster, client: Client, data: Path) -> None:
    with nothing_is_read(cluster):
        job = client.infer("digits", data, rows_per_shard=1, batch_size=1)
        data.unlink()
    client.wait([job], TIMEOUT_S)
    assert job.state is State.FAILED
    assert "No such file" in str(job.record().error)
    assert max(shard.outages for shard in job.shards()) >= 1


def busy_server(content: bytes, busy: threading.Event) -> AbstractContextManager[str]:
    """An HTTP server with one file, which can be read in ranges, that answers with status 503 while it is busy."""

    class Busy(Handler):
        def respond(self) -> None:
            if busy.is_set():
                self.answer(503)
                return
            first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            part = content[int(first) : int(last or len(content)) + 1]
            of = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
            self.answer(206 if "Range" in self.headers else 200, part, Content_Range=of, Accept_Ranges="bytes")

    return serving(Busy)


def test_a_busy_server_is_asked_again(cluster: Cluster, client: Client) -> None:
    numbers = [float(row) for row in range(ROWS)]
    table = pa.table({"x": numbers, "y": numbers})
    client.train("points", "linear", table, "y", epochs=1, features=["x"], validation=0).wait(TIMEOUT_S)
    busy = threading.Event()
    with busy_server("\n".join(["x", *map(str, numbers)]).encode(), busy) as address:
        with nothing_is_read(cluster):
            job = client.infer("points", f"{address}/rows.csv")
            busy.set()
        assert "status 503" in reason(job)
        busy.clear()
        check_succeeded(job)
        assert job.results().num_rows == ROWS


def test_a_full_disk_is_waited_for(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    rows = digits.table(digits.digits()[0][:20]).append_column("text", pa.array(["x" * 1_000_000] * 20))
    pq.write_table(rows, tmp_path / "rows.parquet")
    children = cluster.child_pids()
    for pid in children:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (FULL_DISK, resource.RLIM_INFINITY))
    job = client.infer("digits", tmp_path / "rows.parquet", output=f"{tmp_path}/out/*.jsonl", keep=["text"])
    assert "cannot write" in reason(job)
    for pid in children:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    check_succeeded(job)
    assert sum(Path(path).read_text().count("\n") for path in job.parts()) == len(rows)
