"""Data in S3: a real server of its interface, real workers, and no key in anything that people see."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client
from longshore.shared.errors import InvalidInput, JobFailed
from tests.images import encoded
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.s3_server import SECRET, s3_server
from tests.waiting import TIMEOUT_S

BUCKET = "s3://longshore-data"
ROWS = 300


@pytest.fixture(scope="module")
def worker_environment() -> Iterator[Mapping[str, str]]:
    """Where S3 is, and the keys to it."""
    with s3_server() as environment:
        yield environment


@pytest.fixture(scope="module")
def files(worker_environment: Mapping[str, str]) -> fsspec.AbstractFileSystem:
    """The server, with an empty bucket, seen from this process."""
    files = fsspec.filesystem("s3")
    files.mkdir(BUCKET)
    return files


@pytest.fixture(scope="module")
def client(cluster: Cluster, files: fsspec.AbstractFileSystem) -> Iterator[Client]:
    with cluster.client() as client:
        yield client


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    """Columns ``pixels`` and ``label``."""
    images, labels = digits.digits()
    return digits.table(images[:ROWS], labels[:ROWS])


@pytest.fixture(scope="module")
def expected(client: Client, files: fsspec.AbstractFileSystem, rows: pa.Table) -> pa.Table:
    """What ``digits:1``, trained on a file in S3, says to the rows in memory."""
    put(files, "digits.parquet", rows)
    client.train("digits", "linear", f"{BUCKET}/digits.parquet", "label", epochs=2).wait(TIMEOUT_S)
    return client.infer("digits:1", rows).wait(TIMEOUT_S).results()


def put(files: fsspec.AbstractFileSystem, name: str, rows: pa.Table) -> None:
    sink = io.BytesIO()
    pq.write_table(rows, sink, row_group_size=70)
    files.pipe(f"{BUCKET}/{name}", sink.getvalue())


def check(client: Client, url: str, expected: pa.Table) -> None:
    results = client.infer("digits:1", url, rows_per_shard=110).wait(TIMEOUT_S).results()
    assert results.column("row").to_pylist() == list(range(ROWS))
    assert results.column("label") == expected.column("label")


def test_a_parquet_file(client: Client, expected: pa.Table) -> None:
    check(client, f"{BUCKET}/digits.parquet", expected)


@pytest.mark.parametrize("pattern", ["parts", "parts/*/*.parquet"])
def test_a_folder_of_parquet_files(
    client: Client, files: fsspec.AbstractFileSystem, rows: pa.Table, expected: pa.Table, pattern: str
) -> None:
    for number, start in enumerate(range(0, ROWS, 100)):
        put(files, f"parts/part={number}/rows.parquet", rows.slice(start, 100))
    check(client, f"{BUCKET}/{pattern}", expected)


def test_a_csv_file_that_a_worker_counts(client: Client, files: fsspec.AbstractFileSystem) -> None:
    # Longer than a block, so that its rows are not known at submission.
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow(["x", "note", "y"])
    writer.writerows([row, "z" * 5000, 2 * row] for row in range(1200))
    files.pipe(f"{BUCKET}/line.csv", sink.getvalue().encode())
    options: dict[str, object] = {"epochs": 20, "learning_rate": 0.5}
    client.train("line", "linear", f"{BUCKET}/line.csv", "y", features=["x"], **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    expected = client.infer("line:1", {"x": list(range(1200))}).wait(TIMEOUT_S).results().column("value").to_numpy()
    assert len(set(expected)) == 1200
    job = client.infer("line:1", f"{BUCKET}/line.csv", rows_per_shard=500)
    results = job.wait(TIMEOUT_S).results()
    assert results.column("row").to_pylist() == list(range(1200))
    np.testing.assert_allclose(results.column("value").to_numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(("model", "name"), [("shades", "photos"), ("shades-glob", "photos/**/*.png")])
def test_a_folder_of_images(client: Client, files: fsspec.AbstractFileSystem, model: str, name: str) -> None:
    shades = {f"{'bright' if n % 2 else 'dark'}/{n}.png": encoded(150 + n if n % 2 else n) for n in range(40)}
    files.pipe({f"{BUCKET}/photos/{path}": content for path, content in shades.items()})
    config = {"input_shape": [3, 4, 4], "channels": [4], "kernel_size": 3, "pool": 1, "hidden": [8]}
    job = client.train(model, "cnn", f"{BUCKET}/{name}", "label", config=config, epochs=30, batch_size=8)  # type: ignore[arg-type]
    job.wait(TIMEOUT_S)
    results = client.infer(f"{model}:1", f"{BUCKET}/photos", rows_per_shard=15).wait(TIMEOUT_S).results()
    assert results.column("row").to_pylist() == list(range(40))
    assert results.column("label").to_pylist() == ["bright"] * 20 + ["dark"] * 20


def test_files_that_are_not_there_or_change(
    client: Client, cluster: Cluster, files: fsspec.AbstractFileSystem, rows: pa.Table, expected: pa.Table
) -> None:
    for url in (f"{BUCKET}/none.parquet", f"{BUCKET}/none/*.parquet", "s3://no-such-bucket/x.parquet"):
        with pytest.raises(InvalidInput, match=url.replace("*", r"\*")) as refused:
            client.infer("digits:1", url)
        assert SECRET not in str(refused.value)
    put(files, "changes.parquet", rows)
    cluster.stop_workers()
    job = client.infer("digits:1", f"{BUCKET}/changes.parquet", max_attempts=1)
    put(files, "changes.parquet", rows.slice(0, 200))
    cluster.start_workers()
    with pytest.raises(JobFailed):
        job.wait(TIMEOUT_S)
    messages = [error.message for error in job.errors()]
    assert any("changes.parquet has" in message and "submit the job again" in message for message in messages)


def test_what_a_worker_remembers_of_a_folder_is_not_trusted(
    client: Client, files: fsspec.AbstractFileSystem, rows: pa.Table, expected: pa.Table
) -> None:
    for count in (50, 80, 60):
        put(files, "again/x.parquet", rows.slice(0, count))
        put(files, "again/y.parquet", rows.slice(count))
        check(client, f"{BUCKET}/again", expected)
        results = client.infer("digits:1", f"{BUCKET}/again/x.parquet").wait(TIMEOUT_S).results()
        assert results.num_rows == count


def test_no_key_is_in_the_ledger_or_in_the_logs(client: Client, cluster: Cluster, expected: pa.Table) -> None:
    with cluster.ledger.database.connection() as link:
        tables = link.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        names = [str(row[0]) for row in tables.fetchall()]
        assert {"jobs", "shards", "model_versions"} <= set(names)
        for name in names:
            found = link.execute(f'SELECT count(*) FROM "{name}" AS row WHERE row::text LIKE %s', [f"%{SECRET}%"])
            assert found.fetchone() == (0,), name
    assert SECRET not in cluster.log("workers") + cluster.log("relay")
    assert not [
        path
        for path in Path(cluster.folder, "store").rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
