"""Training on from a version, and learning from one."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from safetensors.numpy import load

from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput, UnknownModel
from longshore.shared.store.store import Store
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.waiting import TIMEOUT_S

Numbers: TypeAlias = npt.NDArray[np.generic]
Images: TypeAlias = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


@pytest.fixture(scope="module")
def images() -> Images:
    return digits.digits()


@pytest.fixture(scope="module")
def big(cluster: Cluster, images: Images) -> Job:
    """digits:1, of two hidden layers."""
    with cluster.client() as client:
        config = {"hidden": [64, 32]}
        return client.train("digits", "mlp", digits.table(*images), "label", epochs=25, config=config).wait(TIMEOUT_S)


def tensors(client: Client, reference: str) -> dict[str, Numbers]:
    weights = client.models.get(reference).manifest["weights"]
    assert isinstance(weights, dict)
    return load(Store(client.settings.store).read_blob(str(weights["digest"])))


def first(job: Job, name: str) -> float:
    return next(metric.value for metric in job.metrics() if metric.name == name)


def test_a_version_is_trained_on_and_frozen_layers_stay(
    client: Client,
    big: Job,
    images: Images,
) -> None:
    table = digits.table(*images).slice(0, 300)
    options = {"epochs": 1, "learning_rate": 1e-4, "seed": 4}
    tuned = client.train("tuned", "mlp", table, "label", base="digits:1", freeze=["0.*", "2.*"], **options).wait(  # type: ignore[arg-type]
        TIMEOUT_S
    )
    scratch = client.train("scratch", "mlp", table, "label", config={"hidden": [64, 32]}, **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    assert first(tuned, "val_accuracy") > 0.9 > 0.5 > first(scratch, "val_accuracy")
    before, after = tensors(client, "digits:1"), tensors(client, "tuned:1")
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith(("network.0.", "network.2.", "standardize."))}
    lineage = client.models.get("tuned:1").manifest["lineage"]
    assert isinstance(lineage, dict)
    spec = lineage["spec"]
    assert isinstance(spec, dict)
    assert (spec["base"], spec["base_digest"]) == ("digits:1", client.models.get("digits:1").digest)


def test_other_classes_get_a_layer_of_their_own(
    client: Client,
    big: Job,
    images: Images,
) -> None:
    pixels, labels = images
    table = pa.table({"pixels": digits.table(pixels, labels)["pixels"], "odd": np.isin(labels, [1, 3, 5, 7, 9])})
    job = client.train("odd", "mlp", table, "odd", base="digits", freeze=["0.*"], epochs=10).wait(TIMEOUT_S)
    assert job.notes == ["not taken from the base, whose shapes differ: 4.weight, 4.bias"]
    assert [metric.value for metric in job.metrics() if metric.name == "val_accuracy"][-1] > 0.8


def test_a_student_learns_what_its_teacher_says(
    client: Client,
    big: Job,
    images: Images,
) -> None:
    pixels, labels = images
    # Targets that teach nothing: what is right comes from the teacher alone.
    wrong = np.random.default_rng(0).permutation(labels)
    options = {"epochs": 25, "config": {"hidden": [16]}, "standardize": True}
    client.train("student", "mlp", digits.table(pixels, wrong), "label", teacher="digits:1", mix=1.0, **options).wait(  # type: ignore[arg-type]
        TIMEOUT_S
    )
    client.train("alone", "mlp", digits.table(pixels, wrong), "label", **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    right = {
        name: np.mean(client.infer(name, pixels).wait(TIMEOUT_S).results()["label"].to_numpy() == labels)
        for name in ("student", "alone")
    }
    assert right["student"] > 0.9 > 0.5 > right["alone"]


def test_what_does_not_go_together_is_refused(
    client: Client,
    big: Job,
    images: Images,
) -> None:
    table = digits.table(*images).slice(0, 100)
    with pytest.raises(UnknownModel, match=r"^base: there is no digits:9"):
        client.train("m", "mlp", table, "label", base="digits:9")
    with pytest.raises(InvalidInput, match=r"^family: digits:1 is of family 'mlp', not 'linear'"):
        client.train("m", "linear", table, "label", base="digits:1")
    with pytest.raises(InvalidInput, match=r"^base: digits:1 takes pixels \(64\); the data has x"):
        client.train("m", "mlp", {"x": [1.0, 2.0], "label": [0, 1]}, "label", base="digits:1")
    with pytest.raises(InvalidInput, match=r"^mix: 0.2: there is no teacher"):
        client.train("m", "mlp", table, "label", mix=0.2)
    job = client.train("m", "mlp", table, "label", base="digits:1", freeze=["layer1.*"])
    with pytest.raises(Exception, match=r"freeze: 'layer1.\*' matches no parameter; there are 0.weight"):
        job.wait(TIMEOUT_S)
    odd = pa.table({"pixels": table["pixels"], "label": table["label"].to_numpy() > 4})
    with pytest.raises(Exception, match=r"teacher: digits:1 predicts other classes"):
        client.train("m", "mlp", odd, "label", teacher="digits:1").wait(TIMEOUT_S)


def test_a_training_takes_the_columns_of_its_base(client: Client, tmp_path: Path) -> None:
    """Also those that no training takes by default: an index of pandas in a file."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=200), "z": random.normal(size=200)})
    frame.index = pd.Index(random.permutation(200), name="rank")
    frame["y"] = (frame.index.to_numpy() > 100).astype(int)
    all_columns, fewer = tmp_path / "all.parquet", tmp_path / "fewer.parquet"
    frame.to_parquet(all_columns)
    frame[["y", "x"]].to_parquet(fewer)
    client.train("ranked", "mlp", all_columns, "y", features=["rank", "x"], epochs=1).wait(TIMEOUT_S)
    with pytest.raises(InvalidInput, match=r"^base: ranked:1 takes rank, x; the data has x, z"):
        client.train("ranked", "mlp", all_columns, "y", base="ranked:1", epochs=1)
    client.train("ranked", "mlp", fewer, "y", base="ranked:1", epochs=1).wait(TIMEOUT_S)
    first, second = (client.models.get(f"ranked:{version}").manifest["signature"] for version in (1, 2))
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert second["features"] == first["features"]
    with pytest.raises(InvalidInput, match=r"^base: ranked:1 takes rank, x; the data has x, z"):
        client.train("ranked", "mlp", frame, "y", base="ranked:1", epochs=1)
