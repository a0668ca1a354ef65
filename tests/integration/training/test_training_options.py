"""Options of a training, from the call to the metrics and the version that they make."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput, JobFailed
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.waiting import TIMEOUT_S


def last(job: Job) -> dict[str, float]:
    return {metric.name: metric.value for metric in job.metrics()}


def outliers(rows: int) -> pa.Table:
    """y = 3x, but for every fifth row."""
    x = np.random.default_rng(rows).uniform(-1, 1, rows)
    return pa.table({"x": x, "y": 3 * x + np.where(np.arange(rows) % 5 == 0, 50.0, 0.0)})


def test_a_loss_by_its_name(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    held_out = outliers(200)
    options = {"validation": held_out, "test": held_out, "epochs": 30, "batch_size": 20, "learning_rate": 0.1}
    job = client.train("huber", "linear", outliers(1000), "y", loss="HuberLoss", delta=0.5, **options).wait(TIMEOUT_S)
    values = client.infer("huber", held_out.select(["x"])).wait(TIMEOUT_S).results()["value"].to_numpy()
    wanted = nn.HuberLoss(delta=0.5)(torch.tensor(values), torch.tensor(held_out["y"].to_numpy())).item()
    found = last(job)
    assert found["val_loss"] == pytest.approx(wanted, rel=1e-4)
    assert found["test_loss"] == pytest.approx(wanted, rel=1e-4)
    # What is far off draws the mean to itself, and hardly the line that this loss finds.
    at_zero = {}
    client.train("squared", "linear", outliers(1000), "y", **options).wait(TIMEOUT_S)
    for model in ("huber", "squared"):
        [at_zero[model]] = client.infer(model, {"x": [0.0]}).wait(TIMEOUT_S).results()["value"].to_pylist()
    assert abs(at_zero["huber"]) < 1 < 8 < at_zero["squared"]
    # The same again, from the command line.
    pq.write_table(outliers(1000), tmp_path / "rows.parquet")
    pq.write_table(held_out, tmp_path / "held.parquet")
    done = CommandLine(cluster.environment)(
        *("train", tmp_path / "rows.parquet", "--model", "huber", "--family", "linear", "--target", "y", "--wait"),
        *("--validation", tmp_path / "held.parquet", "--test", tmp_path / "held.parquet", "--epochs", "30"),
        *("--batch-size", "20", "--learning-rate", "0.1", "--loss", "huber", "--delta", "0.5"),
    )
    assert done.code == 0, done.err
    assert client.models.get("huber:1").manifest["weights"] == client.models.get("huber:2").manifest["weights"]


def test_a_loss_of_another_task_is_refused(client: Client) -> None:
    texts = {"x": [1.0, 2.0, 3.0, 4.0], "y": ["p", "q"] * 2}
    with pytest.raises(InvalidInput, match=r"^loss: mse is for regression, and the task is classification"):
        client.train("wrong", "linear", texts, "y", loss="MSELoss")
    with pytest.raises(InvalidInput, match=r"^loss: cross_entropy is for classification, and the task is regression"):
        client.train("wrong", "linear", {"x": texts["x"], "y": texts["x"]}, "y", loss="cross_entropy")
    with pytest.raises(InvalidInput, match=r"^loss: 'hinge': Input should be 'cross_entropy', 'mse'"):
        client.train("wrong", "linear", texts, "y", loss="hinge")  # type: ignore[arg-type]
    # Whether integers are classes is known when all rows have been seen.
    job = client.train("wrong", "linear", {"x": texts["x"], "y": [0, 1, 0, 1]}, "y", loss="l1", validation=0)
    with pytest.raises(JobFailed, match=r"loss: l1 is for regression, and the task is classification"):
        job.wait(TIMEOUT_S)
    assert [shard.attempt for shard in job.shards()] == [1]


def rare(rows: int) -> pa.Table:
    """Two clouds that overlap; one row in twenty is of the class ``rare``."""
    draw = np.random.default_rng(rows)
    few = np.arange(rows) % 20 == 0
    return pa.table({"x": draw.normal(size=rows) + 1.5 * few, "y": np.where(few, "rare", "common")})


@pytest.mark.parametrize("stream", [False, True])
def test_classes_of_few_rows_count_as_much(client: Client, cluster: Cluster, tmp_path: Path, stream: bool) -> None:
    pq.write_table(rare(4000), tmp_path / "rows.parquet")
    held_out = rare(1000)
    options = {"validation": held_out, "epochs": 20, "learning_rate": 0.05, "metrics": ["recall", "accuracy"]}
    names = {name: f"{name}-{stream}".lower() for name in ("plain", "balanced")}
    jobs = {
        name: client.train(
            *(model, "linear", tmp_path / "rows.parquet", "y"),
            **{**options, "stream": stream, "class_weights": "balanced" if name == "balanced" else None},
        )
        for name, model in names.items()
    }
    found = {name: last(job.wait(TIMEOUT_S)) for name, job in jobs.items()}
    assert found["plain"]["val_recall"] < 0.6 < 0.7 < found["balanced"]["val_recall"]
    assert found["balanced"]["val_accuracy"] < found["plain"]["val_accuracy"]
    # Each held-out row counts the same in the loss.
    results = client.infer(names["balanced"], held_out.select(["x"]), top_k=2).wait(TIMEOUT_S).results()
    scores = [
        next(each["score"] for each in row if each["label"] == label)
        for row, label in zip(results["top_k"].to_pylist(), held_out["y"].to_pylist(), strict=True)
    ]
    assert found["balanced"]["val_loss"] == pytest.approx(-np.log(scores).mean(), rel=1e-3)
    # Weights by label, from the command line: those that balance these rows give the same.
    done = CommandLine(cluster.environment)(
        *("train", tmp_path / "rows.parquet", "--model", names["balanced"], "--family", "linear", "--target", "y"),
        *("--epochs", "20", "--learning-rate", "0.05", "--class-weights", "rare=10", "--wait"),
        *("--class-weights", f"common={4000 / (2 * 3800)}", "--stream" if stream else "--no-stream"),
        *("--validation", "0"),
    )
    assert done.code == 0, done.err
    versions = [client.models.get(f"{names['balanced']}:{number}").manifest for number in (1, 2)]
    assert versions[0]["weights"] == versions[1]["weights"]
    lineage = versions[1]["lineage"]
    assert isinstance(lineage, dict)
    assert isinstance(lineage["spec"], dict)
    assert lineage["spec"]["class_weights"] == {"rare": 10.0, "common": 4000 / 7600}


def test_weights_that_are_none_are_refused(client: Client, tmp_path: Path) -> None:
    texts = {"x": [1.0, 2.0, 3.0, 4.0], "y": ["p", "q"] * 2}
    numbers = {"x": [1.0, 2.0, 3.0, 4.0], "y": [0, 1] * 2}
    with pytest.raises(InvalidInput, match=r"^class_weights: 'r' is no label of the target; there are p, q"):
        client.train("wrong", "linear", texts, "y", class_weights={"p": 1, "r": 2})
    with pytest.raises(InvalidInput, match=r"^class_weights: '2' is no label of the target; there are 0, 1"):
        client.train("wrong", "linear", numbers, "y", class_weights={2: 2})
    with pytest.raises(InvalidInput, match=r"^class_weights: -1 of 'p': a weight is a finite number above 0"):
        client.train("wrong", "linear", texts, "y", class_weights={"p": -1})
    with pytest.raises(InvalidInput, match=r"^class_weights: 'balanced': it is of the loss cross_entropy; mse has no"):
        client.train("wrong", "linear", {"x": texts["x"], "y": texts["x"]}, "y", class_weights="balanced")
    # All labels of a file are known when it has been read.
    pq.write_table(pa.table(texts), tmp_path / "rows.parquet")
    job = client.train("wrong", "linear", tmp_path / "rows.parquet", "y", class_weights={"r": 2}, validation=0)
    with pytest.raises(JobFailed, match=r"class_weights: 'r' is no label of the target; there are p, q"):
        job.wait(TIMEOUT_S)
    assert [shard.attempt for shard in job.shards()] == [1]


def test_weights_begin_as_asked(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    rows = {"x": [[float(a * b % 7) for b in range(8)] for a in range(40)], "y": ["p", "q"] * 20}
    # Steps that are far too small to change a number.
    still = {"epochs": 1, "learning_rate": 1e-30, "optimizer": "sgd", "config": {"hidden": [8]}, "validation": 0}
    client.train("begun", "mlp", rows, "y", init="orthogonal_", **still).wait(TIMEOUT_S)  # type: ignore[arg-type]
    tensors = load_file(Path(client.models.export("begun:1", tmp_path / "out")) / "weights.safetensors")
    torch.testing.assert_close(tensors["network.0.weight"] @ tensors["network.0.weight"].T, torch.eye(8))
    assert tensors["network.0.bias"].abs().max() < 1e-20
    # The same again, from the command line.
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    done = CommandLine(cluster.environment)(
        *("train", tmp_path / "rows.parquet", "--model", "begun", "--target", "y", "--init", "orthogonal", "--wait"),
        *("--epochs", "1", "--learning-rate", "1e-30", "--optimizer", "sgd", "--set", "hidden=[8]"),
        *("--validation", "0"),
    )
    assert done.code == 0, done.err
    assert client.models.get("begun:1").manifest["weights"] == client.models.get("begun:2").manifest["weights"]
    with pytest.raises(InvalidInput, match=r"^init_std: 0.1: it is of init normal or trunc_normal, not default"):
        client.train("begun", "mlp", rows, "y", init_std=0.1)


def test_batch_norm_is_part_of_a_version_and_of_its_checkpoints(
    client: Client, cluster: Cluster, tmp_path: Path
) -> None:
    pq.write_table(digits.table(*digits.digits()).slice(0, 601), tmp_path / "rows.parquet")
    shape = {"channels": [8, 16], "kernel_size": [5, 3], "padding": [2, 1], "norm": "batch", "global_pool": True}
    config = {"input_shape": [1, 8, 8], "hidden": [], **shape}
    options = {"config": config, "batch_size": 60, "learning_rate": 0.01, "validation": 0, "test": 200 / 601}
    whole = client.train("normed", "cnn", tmp_path / "rows.parquet", "label", epochs=12, **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    # 401 rows in batches of 60 leave one of 41 over; what goes on from a checkpoint has the same bits.
    part = client.train("partly", "cnn", tmp_path / "rows.parquet", "label", epochs=5, **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    part.extend(7).wait(TIMEOUT_S)
    assert client.models.get("normed:1").manifest["weights"] == client.models.get("partly:2").manifest["weights"]
    assert last(whole)["test_accuracy"] > 0.8
    manifest = client.models.get("normed:1").manifest
    assert isinstance(manifest["config"], dict)
    assert manifest["config"].items() >= shape.items()
    tensors = load_file(Path(client.models.export("normed:1", tmp_path / "out")) / "weights.safetensors")
    norms = {name.rpartition(".")[2] for name in tensors if name.startswith("network.2.")}
    assert norms == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert int(tensors["network.2.num_batches_tracked"]) == 12 * 7
    # Inference, of one row and of many, and through files of other formats.
    pixels = digits.digits()[0][:64]
    many = logits(client, "normed:1", pixels)
    np.testing.assert_allclose(logits(client, "normed:1", pixels[:1]), many[:1], atol=1e-4)
    (tmp_path / "signature.json").write_text(json.dumps(manifest["signature"]))
    for name in ("n.h5", "n.pt2", "n.onnx"):
        exported = client.models.export("normed:1", tmp_path / name)
        client.models.import_(exported, "again", signature=None if name == "n.h5" else tmp_path / "signature.json")
        np.testing.assert_allclose(logits(client, "again", pixels), many, atol=1e-4, err_msg=name)


def logits(client: Client, model: str, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    results = client.infer(model, pixels, logits=True).wait(TIMEOUT_S).results()
    return np.array(results["logits"].to_pylist(), np.float32)


def test_rows_that_are_trained_on_are_measured_too(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    rows = rare(400)
    job = client.train("measured", "mlp", rows, "y", epochs=3, train_metrics=True, validation=0).wait(TIMEOUT_S)
    names = [(metric.step, metric.name) for metric in job.metrics() if not metric.name.startswith("step/")]
    assert sorted(names) == [(epoch, f"train_{name}") for epoch in (1, 2, 3) for name in ("accuracy", "loss")]
    labels = client.infer("measured", rows.select(["x"])).wait(TIMEOUT_S).results()["label"]
    right = np.mean(labels.to_numpy(zero_copy_only=False) == rows["y"].to_numpy(zero_copy_only=False))
    assert last(job)["train_accuracy"] == pytest.approx(right)
    assert client.models.get("measured:1").manifest["metrics"] == pytest.approx(last(job))
    pq.write_table(rows, tmp_path / "rows.parquet")
    done = CommandLine(cluster.environment)(
        *("train", tmp_path / "rows.parquet", "--model", "measured", "--target", "y", "--epochs", "3", "--wait"),
        *("--train-metrics", "--validation", "0", "--alias", "best", "--promote-if", "train_accuracy > 0.5"),
    )
    assert done.code == 0, done.err
    assert client.models.get("measured@best").version == 2
    with pytest.raises(InvalidInput, match=r"^promote_if: 'train_accuracy' is measured where train_metrics=True"):
        client.train("measured", "mlp", rows, "y", alias="best", promote_if="train_accuracy > 0.5")
