"""The main job: train on real images, get a version, infer with it, and find every row in Postgres."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client, Infer, Train
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.waiting import TIMEOUT_S


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits.write(tmp_path_factory.mktemp("data") / "digits.parquet")


@pytest.fixture(scope="module")
def trained(client: Client, data: Path) -> UUID:
    """The job that made digits:1, which is in production."""
    job = client.train("digits", "mlp", data, "label", epochs=20, alias="production", seed=1)
    return job.wait(TIMEOUT_S).id


def test_training_ends_in_a_version_with_metrics(client: Client, trained: UUID) -> None:
    job = client.job(trained)
    version = client.models.get("digits@production")
    assert (version.model, version.version, version.job_id) == ("digits", 1, trained)
    outcome = job.record().outcome
    assert outcome is not None
    assert outcome["digest"] == version.digest
    accuracy = [metric.value for metric in job.metrics() if metric.name == "val_accuracy"]
    assert len(accuracy) == 20
    assert accuracy[-1] >= 0.95
    assert job.progress.fraction == 1.0


def test_every_row_of_a_file_is_in_postgres_in_order(
    cluster: Cluster, client: Client, trained: UUID, data: Path
) -> None:
    job = client.infer("digits@production", data, rows_per_shard=500).wait(TIMEOUT_S)
    assert len(job.shards()) == 4
    _, labels = digits.digits()
    with psycopg.connect(cluster.settings.database_url) as link:
        rows = link.execute("SELECT row, output FROM results WHERE job_id = %s ORDER BY row", [job.id]).fetchall()
    assert [row for row, _ in rows] == list(range(len(labels)))
    right = np.mean([output["label"] == label for (_, output), label in zip(rows, labels, strict=True)])
    assert right >= 0.95
    assert all(0 < output["score"] <= 1 for _, output in rows)
    table = job.results()
    assert table.column_names == ["row", "label", "score"]
    assert table["label"].to_pylist() == [output["label"] for _, output in rows]


def test_files_and_memory_give_the_same_results(client: Client, trained: UUID, data: Path, tmp_path: Path) -> None:
    images, _ = digits.digits()
    few = images[:50]
    lists = [{"pixels": row.tolist()} for row in few]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lists))
    ways = [tmp_path / "rows.jsonl", lists, few, digits.table(few), pd.DataFrame({"pixels": list(few)})]
    jobs = client.submit_many([Infer("digits:1", way, {"batch_size": size}) for size, way in enumerate(ways, 7)])
    results = [job.wait(TIMEOUT_S).results() for job in jobs]
    labels = [table["label"].to_pylist() for table in results]
    assert all(other == labels[0] for other in labels)
    scores = np.array([table["score"].to_pylist() for table in results])
    # Another batch size can sum in another order: a few units in the last place of float32.
    np.testing.assert_allclose(scores, np.broadcast_to(scores[0], scores.shape), rtol=1e-5)


def test_columns_of_numbers_and_labels_of_text(client: Client, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(600, 3))
    names = np.where(rows.sum(axis=1) > 0, 'héllo, "up"', "down\\")
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "way"])
        writer.writerows([*row, name] for row, name in zip(rows.tolist(), names, strict=True))
    client.train("ways", "linear", path, "way", epochs=30, learning_rate=0.05).wait(TIMEOUT_S)
    job = client.infer("ways", path, rows_per_shard=100).wait(TIMEOUT_S)
    found = job.results()["label"].to_pylist()
    assert np.mean(np.array(found) == names) > 0.95
    assert set(found) == set(names)


def test_many_small_jobs_each_have_their_own_results(client: Client, trained: UUID) -> None:
    images, _ = digits.digits()
    jobs = client.submit_many(Infer("digits@production", images[place : place + 1]) for place in range(300))
    client.wait(jobs, TIMEOUT_S)
    assert {job.state for job in jobs} == {State.SUCCEEDED}
    together = client.infer("digits@production", images[:300]).wait(TIMEOUT_S).results()["label"].to_pylist()
    assert [job.results()["label"].to_pylist() for job in jobs[::29]] == [[label] for label in together[::29]]


def test_a_bad_job_among_small_ones_fails_alone(client: Client, trained: UUID) -> None:
    image = digits.digits()[0][:1]
    good = Infer("digits:1", image)
    other_type = Infer("digits:1", pa.table({"pixels": pa.array([image[0].astype(float).tolist()])}))
    nulls = pa.table({"pixels": pa.array([[0.0] * 64, None], pa.list_(pa.float32(), 64))})
    jobs = client.submit_many([*[good] * 30, Infer("digits:1", nulls), other_type, *[good] * 30])
    client.wait(jobs, TIMEOUT_S)
    assert [job.state for job in jobs] == [State.SUCCEEDED] * 30 + [State.FAILED] + [State.SUCCEEDED] * 31
    assert [error.row for error in jobs[30].errors()] == [1]
    assert jobs[30].results()["row"].to_pylist() == [0]


def test_a_bad_row_fails_alone(client: Client, trained: UUID) -> None:
    rows = [{"pixels": row.tolist()} for row in digits.digits()[0][:20]]
    rows[3] = {"pixels": rows[3]["pixels"][:-1]}
    rows[7] = {"pixels": None}
    job = client.infer("digits:1", rows)
    with pytest.raises(JobFailed, match="2 of 20 rows failed"):
        job.wait(TIMEOUT_S)
    assert {error.row for error in job.errors()} == {3, 7}
    assert job.results()["row"].to_pylist() == [row for row in range(20) if row not in (3, 7)]
    with pytest.raises(InvalidInput, match="rows that failed"):
        job.retry()


def test_a_file_that_must_be_counted_first_is_planned_by_a_worker(
    client: Client, trained: UUID, tmp_path: Path
) -> None:
    line = json.dumps({"pixels": digits.digits()[0][5].tolist()}) + "\n"
    path = tmp_path / "many.jsonl"
    rows = 5 * 2**20 // len(line)  # more than the block that is read at submission
    path.write_text(line * rows)
    job = client.infer("digits@production", path, rows_per_shard=4000).wait(TIMEOUT_S)
    shards = job.shards()
    assert [shard.action for shard in shards] == ["plan"] + ["infer"] * (len(shards) - 1)
    assert job.record().rows_total == rows
    assert job.results()["row"].to_numpy().tolist() == list(range(rows))


def test_a_bad_version_ends_its_job_once(client: Client, cluster: Cluster, trained: UUID, data: Path) -> None:
    client.train("broken", "linear", data, "label", epochs=1).wait(TIMEOUT_S)
    manifest = client.models.get("broken:1").manifest
    digest = str(manifest["weights"]["digest"]).removeprefix("sha256:")  # type: ignore[index,call-overload]
    store = Path(cluster.settings.store.removeprefix("file://"))
    blob = next(store.rglob(digest))
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    job = client.infer("broken:1", data, rows_per_shard=100)
    with pytest.raises(JobFailed, match=digest[:12]):
        job.wait(TIMEOUT_S)
    # It was looked at again for some seconds, which are no attempts.
    assert len(job.errors()) == 1
    assert job.results().num_rows == 0


def test_an_alias_is_resolved_at_submission(client: Client, trained: UUID, data: Path) -> None:
    client.submit_many([Train("moved", "linear", data, "label", {"epochs": epochs}) for epochs in (1, 2)])
    client.wait(client.jobs(kind="train", limit=2), TIMEOUT_S)
    first = client.models.promote("moved:1", "best")
    job = client.infer("moved@best", data)
    client.models.promote("moved:2", "best")
    assert job.record().digest == first.digest
    assert [move.version for move in client.models.history("moved", "best")] == [1, 2]
    assert client.infer("moved@best", data).record().version == 2


def test_a_version_moves_to_another_name_by_its_folder(client: Client, trained: UUID, tmp_path: Path) -> None:
    folder = client.models.export("digits@production", tmp_path / "export")
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "weights.safetensors"]
    copy = client.models.import_(folder, "copies/digits", alias="production")
    assert copy.digest == client.models.get("digits:1").digest
    image = digits.digits()[0][:1]
    one, other = (client.infer(name, image).wait(TIMEOUT_S) for name in ("digits:1", "copies/digits@production"))
    assert one.results() == other.results()


def test_regression_gives_values(client: Client, tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 400, dtype=np.float32)
    path = tmp_path / "line.parquet"
    pq.write_table(pa.table({"x": x, "y": 3 * x + 2}), path)
    options = {"epochs": 60, "learning_rate": 0.05, "standardize": False, "batch_size": 32}
    client.train("line", "linear", path, "y", **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    values = client.infer("line", [{"x": 0.0}, {"x": 1.0}]).wait(TIMEOUT_S).results()["value"].to_pylist()
    assert values == pytest.approx([2.0, 5.0], abs=0.05)
