"""Trees on a cluster: trained, killed, extended, searched, exported, and run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest

from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.workers import Presence
from longshore.shared.settings import Settings
from longshore.shared.store.blobs import describe
from longshore.shared.vocabulary import State
from tests.integration.cluster import Cluster
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow

ROWS = 600
EPOCHS = 240
CONFIG = {"rounds": 3, "num_leaves": 7, "feature_fraction": 0.5, "bagging_fraction": 0.7}


@pytest.fixture(scope="module")
def table() -> pa.Table:
    random = np.random.default_rng(0)
    age = random.normal(40, 10, ROWS)
    age[random.random(ROWS) < 0.1] = np.nan
    plan = random.choice(["basic", "plus", "pro"], ROWS)
    left = np.nan_to_num(age, nan=60) / 10 + 2 * (plan == "basic") + random.normal(0, 1, ROWS) > 5
    return pa.table({"age": pa.array(age, from_pandas=True), "plan": plan, "left": np.where(left, "yes", "no")})


@pytest.fixture(scope="module")
def whole(client: Client, table: pa.Table) -> Job:
    """A training that runs through."""
    job = client.train("churn", "lightgbm", table, "left", epochs=EPOCHS, config=CONFIG)
    return job.wait(TIMEOUT_S)


def trees(client: Client, job: Job) -> object:
    """The digest of what a job has trained."""
    outcome = job.record().outcome
    assert outcome is not None
    return client.models.get(f"{outcome['model']}:{outcome['version']}").manifest["weights"]


def explained(job: Job) -> object:
    """What a training says of itself."""
    outcome = job.record().outcome
    assert outcome is not None
    names = ("epochs", "best_epoch", "best_metrics", "final_metrics", "metrics", "monitor", "stopped_early")
    return job.notes, {name: outcome[name] for name in names}


def reported(job: Job) -> dict[tuple[int, str], float]:
    return {(each.step, each.name): each.value for each in job.metrics()}


@pytest.mark.parametrize("step", [1, 50])
def test_a_killed_training_ends_with_the_same_bytes(
    cluster: Cluster, client: Client, table: pa.Table, whole: Job, step: int
) -> None:
    def newest() -> int:
        found = cluster.ledger.checkpoints.newest(job.id)
        return 0 if found is None else found.step

    # A checkpoint in the middle of an epoch.
    options = {"epochs": EPOCHS, "config": CONFIG, "checkpoint_seconds": None, "checkpoint_steps": step}
    children = cluster.child_pids()
    job = client.train(f"killed-{step}", "lightgbm", table, "left", **options)  # type: ignore[arg-type]
    wait_until(lambda: newest() >= step, f"step {step}", TIMEOUT_S)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    assert job.state is not State.SUCCEEDED
    job.wait(TIMEOUT_S)
    assert job.shards()[0].attempt == 2
    assert trees(client, job) == trees(client, whole)
    assert reported(job) == reported(whole)
    assert explained(job) == explained(whole)


def test_an_extended_training_is_one_that_ran_longer(client: Client, table: pa.Table, whole: Job) -> None:
    short = client.train("short", "lightgbm", table, "left", epochs=EPOCHS - 20, config=CONFIG).wait(TIMEOUT_S)
    longer = short.extend(20).wait(TIMEOUT_S)
    assert trees(client, longer) == trees(client, whole)
    assert explained(longer) == explained(whole)


def test_results_are_those_of_the_exported_model(client: Client, table: pa.Table, whole: Job, tmp_path: Path) -> None:
    folder = Path(client.models.export("churn:1", tmp_path / "churn"))
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.txt"]
    booster = lgb.Booster(model_file=folder / "model.txt")
    assert booster.num_trees() == EPOCHS * CONFIG["rounds"]
    with pytest.raises(InvalidInput, match=r"^format: onnx: .* exported as a folder, in which model.txt has its trees"):
        client.models.export("churn:1", tmp_path / "churn.onnx")
    results = client.infer("churn:1", table.drop_columns("left")).wait(TIMEOUT_S).results().to_pylist()
    codes = {name: code for code, name in enumerate(["basic", "plus", "pro"], 1)}
    ages = np.array([np.nan if age is None else age for age in table["age"].to_pylist()])
    rows = np.stack([ages, [codes[plan] for plan in table["plan"].to_pylist()]], axis=1).astype(np.float32)
    probabilities = np.asarray(booster.predict(rows))
    for result, probability in zip(results, probabilities, strict=True):
        assert result["label"] == ("yes" if probability > 0.5 else "no")
        assert result["score"] == pytest.approx(max(probability, 1 - probability), abs=1e-6)
    evaluated = client.evaluate("churn:1", table, "left").wait(TIMEOUT_S).record().outcome
    assert evaluated is not None
    accuracy = np.mean((probabilities > 0.5) == (np.array(table["left"]) == "yes"))
    assert evaluated["metrics"]["accuracy"] == pytest.approx(accuracy)  # type: ignore[call-overload, index]


def test_a_damaged_model_fails_its_job_and_not_the_worker(
    cluster: Cluster, client: Client, table: pa.Table, whole: Job, tmp_path: Path
) -> None:
    folder = Path(client.models.export("churn:1", tmp_path / "churn"))
    model = folder / "model.txt"
    text = model.read_text()
    model.write_text(text.replace("left_child=", "left_child=9999 ", 1))
    manifest = folder / "manifest.json"
    described = client.models.get("churn:1").manifest["weights"]
    assert isinstance(described, dict)
    now = describe(model)
    manifest.write_text(
        manifest.read_text()
        .replace(str(described["digest"]), now.digest)
        .replace(f'"size":{described["size"]}', f'"size":{now.size}')
    )
    client.models.import_(folder, "damaged")
    children = cluster.child_pids()
    with pytest.raises(JobFailed, match=r"model of LightGBM: tree 0 of the model: left_child has not 6 numbers"):
        client.infer("damaged:1", table.drop_columns("left")).wait(TIMEOUT_S)
    assert cluster.child_pids() == children


def test_trees_are_searched_and_cross_validated(client: Client, table: pa.Table) -> None:
    space: dict[str, list[float]] = {"config.num_leaves": [3, 7], "config.learning_rate": [0.05, 0.3]}
    tuned = client.tune("tuned", "lightgbm", table, "left", space, sampler="grid", epochs=3).wait(TIMEOUT_S)
    assert tuned.record().outcome["trials"]["complete"] == 4  # type: ignore[index, call-overload]
    validated = client.cross_validate("folds", "lightgbm", table, "left", folds=3, epochs=3).wait(TIMEOUT_S)
    assert validated.record().outcome["metrics"]["val_accuracy"] > 0.6  # type: ignore[index, call-overload, operator]
    with pytest.raises(
        InvalidInput, match=r"^space.learning_rate: 0.1 is not valid: .* give it as config.learning_rate"
    ):
        client.tune("tuned", "lightgbm", table, "left", {"learning_rate": [0.1, 0.2]})


def test_a_cancelled_training_goes_on_when_it_is_retried(
    cluster: Cluster, client: Client, table: pa.Table, whole: Job
) -> None:
    options = {"epochs": EPOCHS, "config": CONFIG, "checkpoint_seconds": None, "checkpoint_steps": 40}
    job = client.train("cancelled", "lightgbm", table, "left", **options)  # type: ignore[arg-type]
    wait_until(lambda: cluster.ledger.checkpoints.newest(job.id) is not None, "a checkpoint", TIMEOUT_S)
    job.cancel()
    wait_until(lambda: job.state is State.CANCELLED, "the end of the job", TIMEOUT_S)
    job.retry()
    job.wait(TIMEOUT_S)
    assert trees(client, job) == trees(client, whole)


def test_the_importance_of_columns_is_told(client: Client, whole: Job) -> None:
    lineage = client.models.get("churn:1").manifest["lineage"]
    assert isinstance(lineage, dict)
    assert isinstance(lineage["importance"], dict)
    assert set(lineage["importance"]) == {"age", "plan"}
    assert any(
        note.startswith("importance of the columns, by the loss that their splits save: ") for note in whole.notes
    )


def test_a_family_whose_extra_no_worker_has_is_refused_at_the_call(
    services: Settings, ledger: Ledger, table: pa.Table
) -> None:
    ledger.workers.see(
        Presence(name="cpu:0@tests", device="cpu:0", queue="cpu", host="tests", pid=1, families=["linear", "mlp"])
    )
    with (
        Client(home=services.home, producer="tests") as client,
        pytest.raises(InvalidInput, match=r"^family: no worker can train 'lightgbm'.* 'longshore\[lightgbm\]'"),
    ):
        client.train("churn", "lightgbm", table, "left")


def test_a_worker_without_the_extra_says_what_to_install() -> None:
    code = """
import sys
sys.modules["lightgbm"] = None  # as if it were not installed
from longshore.shared.errors import InvalidInput
from longshore.workers.families.trees.library import library
from longshore.workers.process.main import family_names
print(family_names())
try:
    library()
except InvalidInput as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    names, error = said.splitlines()
    assert "lightgbm" not in names
    assert error.startswith("family: LightGBM is not installed on this worker; pip install 'longshore[lightgbm]'")
