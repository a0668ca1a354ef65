"""Options of a training, from the call to the metrics and the version that they make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput, JobFailed
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine

#: Seconds for a job to end.
PATIENCE = 120.0


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    with cluster.client() as client:
        yield client


def last(job: Job) -> dict[str, float]:
    return {metric.name: metric.value for metric in job.metrics()}


def outliers(rows: int) -> pa.Table:
    """y = 3x, but for every fifth row."""
    x = np.random.default_rng(rows).uniform(-1, 1, rows)
    return pa.table({"x": x, "y": 3 * x + np.where(np.arange(rows) % 5 == 0, 50.0, 0.0)})


def test_a_loss_by_its_name(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    held_out = outliers(200)
    options = {"validation": held_out, "test": held_out, "epochs": 30, "batch_size": 20, "learning_rate": 0.1}
    job = client.train("huber", "linear", outliers(1000), "y", loss="HuberLoss", delta=0.5, **options).wait(PATIENCE)
    values = client.infer("huber", held_out.select(["x"])).wait(PATIENCE).results()["value"].to_numpy()
    wanted = nn.HuberLoss(delta=0.5)(torch.tensor(values), torch.tensor(held_out["y"].to_numpy())).item()
    found = last(job)
    assert found["val_loss"] == pytest.approx(wanted, rel=1e-4)
    assert found["test_loss"] == pytest.approx(wanted, rel=1e-4)
    # What is far off draws the mean to itself, and hardly the line that this loss finds.
    at_zero = {}
    client.train("squared", "linear", outliers(1000), "y", **options).wait(PATIENCE)
    for model in ("huber", "squared"):
        [at_zero[model]] = client.infer(model, {"x": [0.0]}).wait(PATIENCE).results()["value"].to_pylist()
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
        client.train("wrong", "linear", texts, "y", loss="hinge")
    # Whether integers are classes is known when all rows have been seen.
    job = client.train("wrong", "linear", {"x": texts["x"], "y": [0, 1, 0, 1]}, "y", loss="l1", validation=0)
    with pytest.raises(JobFailed, match=r"loss: l1 is for regression, and the task is classification"):
        job.wait(PATIENCE)
    assert [shard.attempt for shard in job.shards()] == [1]
