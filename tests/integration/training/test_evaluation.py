"""Versions of every runtime measured on real workers, and what is refused."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import helper, numpy_helper
from sklearn import metrics as sk

from longshore.producers import Client
from longshore.shared.errors import InvalidInput, JobFailed
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.unit.shared.model_formats.onnx.files import program
from tests.waiting import TIMEOUT_S, wait_until

CLASSES = {"features": [{"name": "x"}], "task": "classification", "target": "y", "labels": ["no", "maybe", "yes"]}
VALUES = {"features": [{"name": "x"}], "task": "regression", "target": "y"}
VECTORS = {"features": [{"name": "x"}], "task": "embedding", "target": "embedding"}


@pytest.fixture(scope="module")
def client(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("versions")
    with cluster.client() as client:
        for name, weights, signature in (
            ("classes", [[-1.0, 0.0, 1.0]], CLASSES),
            ("values", [[2.0]], VALUES),
            ("vectors", [[1.0, 2.0]], VECTORS),
        ):
            matrix = numpy_helper.from_array(np.array(weights, np.float32), "w")
            node = helper.make_node("MatMul", ["input", "w"], ["output"])
            made: onnx.ModelProto = program([node], ("rows", 1), ("rows", len(weights[0])), initializers=[matrix])
            path = folder / f"{name}.onnx"
            path.write_bytes(made.SerializeToString())
            client.models.import_(path, name, signature=signature)
        yield client


def test_a_trained_version_is_measured_as_its_predictions_say(client: Client, tmp_path: Path) -> None:
    data = digits.write(tmp_path / "digits.parquet")
    client.train("digits", "mlp", data, "label", epochs=5).wait(TIMEOUT_S)
    job = client.evaluate("digits", data, bootstrap=200, worst=3).wait(TIMEOUT_S)
    found = job.evaluation()
    predicted = client.infer("digits", data).wait(TIMEOUT_S).results()["label"].to_pylist()
    _, labels = digits.digits()
    assert found.metrics["accuracy"] == sk.accuracy_score(labels, predicted)
    assert found.metrics["f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert found.confusion_matrix is not None
    np.testing.assert_array_equal(found.confusion_matrix.counts, sk.confusion_matrix(labels, predicted))
    assert found.rows == len(labels) == sum(each.support for each in found.classes)
    assert [each.target for each in found.worst] == [labels[each.row] for each in found.worst]
    assert {metric.name: metric.value for metric in job.metrics()} == pytest.approx(found.metrics)
    assert client.evaluate("digits", data, bootstrap=200, worst=3).wait(TIMEOUT_S).evaluation() == found
    record = job.record()
    assert (record.kind, record.version, record.rows_total, record.rows_done) == ("evaluate", 1, 1797, 1797)


def test_a_program_with_labels_of_text_and_rows_that_are_bad(client: Client, tmp_path: Path) -> None:
    rows = pa.table(
        {
            "x": pa.array([-3.0, 3.0, 3.0, None, -3.0, 3.0]),
            "way": pa.array(["no", "yes", "no", "no", None, "never"]),
        }
    )
    pq.write_table(rows, tmp_path / "rows.parquet")
    job = client.evaluate("classes:1", tmp_path / "rows.parquet", target="way")
    with pytest.raises(JobFailed, match="2 of 6 rows failed"):
        job.wait(TIMEOUT_S)
    found = job.evaluation()
    assert (found.rows, found.failed, found.unknown_rows, found.unknown_labels) == (4, 2, 1, ("'never'",))
    assert found.metrics["accuracy"] == 0.5
    assert found.worst[0].row == 2
    assert [error.row for error in job.errors()] == [3, 4]
    with pytest.raises(InvalidInput, match="runs as a whole"):
        job.retry(rows="failed")
    allowed = client.evaluate("classes", rows, "way", max_row_errors=2).wait(TIMEOUT_S)
    assert allowed.evaluation() == found
    assert any("does not know ('never')" in note for note in allowed.notes)


def test_a_regression_from_text_whose_rows_were_not_counted(client: Client, tmp_path: Path) -> None:
    lines = [f"{x},{2 * x + (x % 2)}" for x in range(400_000)]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["x,y", *lines[:-1], "5,five", ""]))
    job = client.evaluate("values", path, max_row_errors=1).wait(TIMEOUT_S)
    found = job.evaluation()
    assert (found.rows, found.failed) == (399_999, 1)
    assert found.metrics["mae"] == pytest.approx(199_999 / 399_999)
    assert found.metrics["r2"] == pytest.approx(1.0, abs=1e-4)
    assert job.record().rows_total == 400_000


def test_an_evaluation_whose_worker_was_killed_finds_the_same(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    rows = np.arange(40_000, dtype=np.float32)
    pq.write_table(pa.table({"x": rows, "y": rows}), tmp_path / "rows.parquet")
    # Row by row, so that there is time to kill the worker in the middle.
    job = client.evaluate("values", tmp_path / "rows.parquet", batch_size=1, bootstrap=100)
    wait_until(lambda: job.progress.done, "the first rows")
    for pid in cluster.child_pids():
        os.kill(pid, signal.SIGKILL)
    found = job.wait(TIMEOUT_S).evaluation()
    assert [shard.attempt for shard in job.shards()] == [2]
    assert found.rows == 40_000
    assert found.metrics["mae"] == pytest.approx(float(rows.astype(np.float64).mean()))
    again = client.evaluate("values", tmp_path / "rows.parquet", bootstrap=100).wait(TIMEOUT_S)
    assert again.evaluation().intervals == found.intervals


def test_what_cannot_be_measured_is_refused(client: Client) -> None:
    rows = pa.table({"x": [1.0, 2.0], "y": ["no", "yes"], "n": [1, 2]})
    for model, target, options, field, reason in (
        ("vectors", "y", {}, "model", "gives embeddings"),
        ("classes", "z", {}, "target", "no column 'z'"),
        ("classes", "n", {}, "target", "give text"),
        ("values", "y", {}, "target", "give numbers"),
        ("classes", "y", {"bootstrap": -1}, "bootstrap", "greater"),
        ("classes", "y", {"precision": "bf16"}, "precision", "has its own"),
        ("classes", "y", {"epochs": 3}, "epochs", "unknown option"),
        ("nothing", "y", {}, "model", "there is no"),
    ):
        with pytest.raises(InvalidInput, match=reason) as refused:
            client.evaluate(model, rows, target, **options)
        assert refused.value.field == field
    with pytest.raises(InvalidInput, match="no column 'y'"):
        client.evaluate("classes", rows.drop(["y"]))
    with pytest.raises(JobFailed, match="none of 2 rows can be measured"):
        client.evaluate("values", {"x": [1.0, 2.0], "y": [None, None]}).wait(TIMEOUT_S)


def test_the_command_line_shows_tables_and_json(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    line = CommandLine(cluster.environment)
    pq.write_table(pa.table({"x": [-3.0, 3.0, 3.0], "y": ["no", "yes", "no"]}), tmp_path / "rows.parquet")
    said = line("evaluate", "classes", tmp_path / "rows.parquet", "--wait")
    assert said.code == 0, said.err
    for part in ("METRIC", "accuracy", "PRECISION", "rows with the largest losses"):
        assert part in said.out
    told = line("evaluate", "classes", tmp_path / "rows.parquet", "--wait", "--json").fields
    outcome = told["outcome"]
    assert isinstance(outcome, dict)
    assert outcome["metrics"]["accuracy"] == pytest.approx(2 / 3)
    assert "confusion_matrix" in outcome
    assert "rows with the largest losses" in line("jobs", "show", str(told["id"])).out
