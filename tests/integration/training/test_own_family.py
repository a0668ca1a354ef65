"""A package with a family of its own, as the documentation has it: built, installed for the workers, and used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from safetensors.numpy import load_file

from longshore.producers import Client
from longshore.shared.errors import InvalidInput, JobFailed
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.waiting import TIMEOUT_S

Numbers: TypeAlias = npt.NDArray[np.float32]

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "training" / "custom-family.md"


@pytest.fixture(scope="module")
def worker_environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Workers that have the package of the documentation."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    text = GUIDE.read_text()
    for language, name in (("toml", "pyproject.toml"), ("python", "residual_family.py")):
        [block] = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
        (source / name).write_text(block)
    # With what is installed here, and nothing from elsewhere.
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*install, "--no-deps", "--no-build-isolation", "--target", str(target), str(source)], check=True)
    path = os.pathsep.join(filter(None, [str(target), os.environ.get("PYTHONPATH")]))
    return {"LONGSHORE_LEASE": "2", "PYTHONPATH": path}


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return digits.table(*digits.digits())


def test_a_family_of_a_package_is_trained_and_inferred_with(
    client: Client, cluster: Cluster, table: pa.Table, tmp_path: Path
) -> None:
    config = {"units": 32, "blocks": 1}
    options = {"epochs": 20, "learning_rate": 0.003, "test": 0.2, "init": "kaiming_normal", "config": config}
    job = client.train("own", "residual", table, "label", **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    metrics = {metric.name: metric.value for metric in job.metrics()}
    assert metrics["test_accuracy"] > 0.9
    manifest = client.models.get("own:1").manifest
    assert (manifest["family"], manifest["config"]) == ("residual", config)
    folder = Path(client.models.export("own:1", tmp_path / "own"))
    weights = load_file(folder / "weights.safetensors")
    network = {name.removeprefix("network.") for name in weights if name.startswith("network.")}
    assert network == {
        f"{layer}.{kind}" for layer in ("0", "1.inner.0", "1.inner.2", "3") for kind in ("weight", "bias")
    }
    # What is inferred is what these numbers say.
    pixels, labels = digits.digits()
    found = client.infer("own", pixels[:300], logits=True).wait(TIMEOUT_S).results()
    assert np.mean(found["label"].to_numpy() == labels[:300]) > 0.9

    def affine(rows: Numbers, layer: str) -> Numbers:
        product: Numbers = rows @ weights[f"network.{layer}.weight"].T + weights[f"network.{layer}.bias"]
        return product

    rows = affine((pixels[:300] - weights["standardize.mean"]) / weights["standardize.std"], "0")
    rows = rows + affine(np.maximum(affine(rows, "1.inner.0"), 0), "1.inner.2")
    expected = affine(np.maximum(rows, 0), "3")
    np.testing.assert_allclose(np.array(found["logits"].to_pylist()), expected, atol=1e-3)
    # It goes on from its version, as any other.
    based = client.train("based", "residual", table, "label", base="own:1", freeze=["0.*"], epochs=1).wait(TIMEOUT_S)
    assert not based.notes
    assert next(metric.value for metric in based.metrics() if metric.name == "val_accuracy") > 0.9
    # And through files: producers need not have the package.
    read = client.models.import_(client.models.export("own:1", tmp_path / "own.h5"), "read")
    assert read.digest == client.models.get("own:1").digest
    assert "residual" in CommandLine(cluster.environment)("status", "--json").out


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"unit": 3}, r"config\.unit: unknown option; did you mean config\.units\?"),
        ({"units": 0}, r"config\.units: 0: Input should be greater than or equal to 1"),
    ],
)
def test_what_the_family_does_not_take_ends_the_job_at_once(
    client: Client, table: pa.Table, config: dict[str, object], reason: str
) -> None:
    job = client.train("refused", "residual", table, "label", config=config)  # type: ignore[arg-type]
    with pytest.raises(JobFailed, match=reason):
        job.wait(TIMEOUT_S)
    assert [shard.attempt for shard in job.shards()] == [1]


def test_a_family_that_no_worker_has_is_refused_at_the_call(client: Client, table: pa.Table) -> None:
    with pytest.raises(
        InvalidInput, match=r"^family: 'residuals' is not a family .* linear, lora, mlp, residual, rnn, transformer"
    ):
        client.train("refused", "residuals", table, "label")
