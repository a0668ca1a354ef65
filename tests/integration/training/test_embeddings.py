"""Embeddings that were trained here: from the client's call to rows in Postgres."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.csv
import pytest
from sklearn.neighbors import KNeighborsClassifier

from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.ledger.ledger import Ledger
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.waiting import TIMEOUT_S


@pytest.fixture(scope="module")
def trained(client: Client) -> Job:
    """digits:1, which has never seen an 8 or a 9."""
    images, labels = digits.digits()
    seen = labels < 8
    options = {"task": "embedding", "embedding_width": 16, "contrast_temperature": 0.2, "epochs": 10}
    unseen = digits.table(images[~seen], labels[~seen])
    return client.train(
        "digits",
        "mlp",
        digits.table(images[seen], labels[seen]),
        "label",
        **options,  # type: ignore[arg-type]
        validation=unseen,
        test=0.1,
        alias="best",
        promote_if="test_recall_at_1 > 0.9",
    ).wait(TIMEOUT_S)


def test_vectors_of_one_class_are_near_each_other_in_postgres(client: Client, trained: Job) -> None:
    images, labels = digits.digits()
    measured = {metric.name: metric.value for metric in trained.metrics()}
    assert {"train_loss", "val_loss", "val_recall_at_1", "test_loss", "test_recall_at_1"} <= set(measured)
    assert measured["test_recall_at_1"] > 0.9
    assert measured["val_recall_at_1"] > 0.8, "8 and 9 are told apart, too"
    signature = client.models.get("digits@best").manifest["signature"]
    assert isinstance(signature, dict)
    assert (signature["task"], signature["embedding_width"], signature["labels"]) == ("embedding", 16, None)
    job = client.infer("digits@best", digits.table(images)).wait(TIMEOUT_S)
    with Ledger(client.settings.database_url) as ledger:
        stored = [json.loads(record.output) for record in ledger.queries.results(job.id)]
    assert {tuple(output) for output in stored} == {("embedding",)}
    vectors = np.array([output["embedding"] for output in stored])
    assert vectors.shape == (len(labels), 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    near = KNeighborsClassifier(1, metric="cosine").fit(vectors[::2], labels[::2])
    assert near.score(vectors[1::2], labels[1::2]) > 0.93


def test_an_exported_program_gives_the_same_vectors(client: Client, trained: Job, tmp_path: Path) -> None:
    images, _ = digits.digits()
    client.models.export("digits:1", str(tmp_path / "digits.onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "digits.onnx", providers=["CPUExecutionProvider"])
    [found] = session.run(None, {session.get_inputs()[0].name: images[:20]})
    own = client.infer("digits:1", digits.table(images[:20])).wait(TIMEOUT_S).results()["embedding"].to_pylist()
    np.testing.assert_allclose(found, np.array(own), atol=1e-5)


def test_the_command_line_trains_them_also_from_a_stream(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    line = CommandLine(cluster.environment)
    random = np.random.default_rng(0)
    classes = random.integers(0, 5, 3000)
    rows = random.normal(size=(3000, 4)) + 2 * np.eye(5, 4)[classes]
    table = pa.table({**{f"x{n}": rows[:, n] for n in range(4)}, "kind": [f"k{each}" for each in classes]})
    pa.csv.write_csv(table, tmp_path / "rows.csv")
    common = ("--model", "kinds", "--target", "kind", "--task", "embedding", "--embedding-width", "3", "--epochs", "4")
    for more in (("--contrast-temperature", "0.5"), ("--stream",)):
        done = line("train", tmp_path / "rows.csv", *common, *more, "--wait")
        assert done.code == 0, done.err
    for version in client.models.versions("kinds"):
        measured = version.manifest["metrics"]
        assert isinstance(measured, dict)
        assert float(str(measured["val_recall_at_1"])) > 0.5
    shown = line("models", "show", "kinds:1").out
    assert "kind (embedding)" in shown
    options = {"task": "embedding", "embedding_width": 3, "base": "kinds:1", "epochs": 1}
    again = client.train("kinds", "mlp", tmp_path / "rows.csv", "kind", **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    assert {metric.name: metric.value for metric in again.metrics()}["val_recall_at_1"] > 0.5
    assert again.notes == []


def test_what_does_not_go_with_embeddings_is_refused(client: Client, trained: Job) -> None:
    images, labels = digits.digits()
    few = {"x": [1.0, 2.0, 3.0]}
    for data, options, said in (
        ({**few, "y": [["a"], ["b"], []]}, {}, r"target: column 'y' holds .*; an embedding is learned from one label"),
        ({**few, "y": ["a", "a", "a"]}, {}, r"target: column 'y' has the one label 'a'"),
        ({**few, "y": ["a", "b", "a"]}, {"teacher": "digits:1"}, r"teacher: digits:1: an embedding learns from its"),
        (
            {**few, "y": ["a", "b", "a"]},
            {"alias": "p", "promote_if": "val_accuracy > 0"},
            r"promote_if: 'val_accuracy' is not measured in an embedding",
        ),
    ):
        with pytest.raises(InvalidInput, match=f"^{said}"):
            client.train("m", "linear", data, "y", task="embedding", **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"^embedding_width: 8: only for task='embedding', not auto"):
        client.train("m", "linear", {**few, "y": ["a", "b", "a"]}, "y", embedding_width=8)
    with pytest.raises(InvalidInput, match=r"^model: digits:1 gives embeddings"):
        client.evaluate("digits:1", digits.table(images, labels))
    with pytest.raises(InvalidInput, match=r"^top_k: 3: the version's task is embedding"):
        client.infer("digits:1", digits.table(images), top_k=3)
    train = client.train("links", "linear", {**few, "y": [1, 2, 1]}, "y", task="embedding", validation=0, epochs=200)
    with pytest.raises(JobFailed, match=r"model: the version gives embeddings"):
        train.then.evaluate({**few, "y": [1, 2, 1]}).wait(TIMEOUT_S)
    alone = {**few, "y": ["a", "b", "c"]}
    with pytest.raises(JobFailed, match=r"has a different label in each of the 3 rows to train on"):
        client.train("m", "linear", alone, "y", task="embedding", validation=0).wait(TIMEOUT_S)
