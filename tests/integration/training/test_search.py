"""Tuning and cross-validation: many trainings in one job, on both workers at once."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client
from longshore.shared.errors import InvalidInput, JobFailed
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow

LINE = {"x": [float(x) for x in range(640)], "y": [3.0 * x for x in range(640)]}
#: Plain steps of a rate like 1000 leave the numbers that there are.
DIVERGING = {"task": "regression", "sampler": "grid", "optimizer": "sgd", "epochs": 30}
RATES = {"low": 1e-4, "high": 0.1, "log": True}


@pytest.fixture(scope="module")
def devices() -> str:
    return "cpu:2"


@pytest.fixture(scope="module")
def table() -> pa.Table:
    images, labels = digits.digits()
    return digits.table(images[:600], labels[:600])


def test_the_best_of_the_trials_becomes_a_version(client: Client, table: pa.Table) -> None:
    space = {"learning_rate": RATES, "config.hidden": [[4], [32]]}
    job = client.tune("tuned", "mlp", table, "label", space, trials=6, epochs=20, alias="best").wait(TIMEOUT_S)  # type: ignore[arg-type]
    trials = job.trials()
    assert [trial.number for trial in trials] == list(range(6))
    assert {trial.state for trial in trials} == {"complete"}
    assert len({trial.worker for trial in trials}) == 2, "both workers had trials"
    assert all(list(trial.history) == [str(epoch) for epoch in range(1, 21)] for trial in trials)
    assert all(trial.history["20"] == trial.value == trial.metrics["val_loss"] for trial in trials)
    best = min(trials, key=lambda trial: trial.value or 0)
    outcome = job.record().outcome
    assert outcome is not None
    assert outcome["best"] == {
        "trial": best.number,
        "value": best.value,
        "parameters": best.parameters,
        "shown": outcome["best"]["shown"],  # type: ignore[index,call-overload]
    }
    assert outcome["metrics"] == best.metrics
    assert outcome["trials"] == {"complete": 6, "pruned": 0, "failed": 0}
    version = client.models.get("tuned@best")
    assert (version.version, version.digest, version.job_id) == (1, outcome["digest"], job.id)
    assert version.manifest["config"]["hidden"] == best.parameters["config.hidden"]  # type: ignore[index,call-overload]
    # It is the trial's own network: what it measured can be measured again.
    found = client.infer("tuned@best", table).wait(TIMEOUT_S).results()
    assert np.mean(found["label"].to_numpy() == table["label"].to_numpy()) > 0.5
    assert (job.progress.done, job.progress.total) == (6, 6)


def test_a_trial_whose_loss_is_no_number_fails_alone(client: Client) -> None:
    job = client.tune("rates", "linear", LINE, "y", {"learning_rate": [1e-3, 1000.0]}, **DIVERGING).wait(TIMEOUT_S)  # type: ignore[arg-type]
    good, bad = job.trials()
    assert (good.state, bad.state, bad.value) == ("complete", "failed", None)
    assert bad.error is not None
    assert "learning_rate: 1000.0: the loss" in bad.error
    assert client.models.get("rates").manifest["lineage"]["spec"]["learning_rate"] == 1e-3  # type: ignore[index,call-overload]


def test_without_a_good_trial_the_job_fails_and_says_why(client: Client) -> None:
    job = client.tune("rates-2", "linear", LINE, "y", {"learning_rate": [1000.0]}, **DIVERGING)  # type: ignore[arg-type]
    with pytest.raises(JobFailed, match=r"space: no trial came to an end; learning_rate: 1000.0"):
        job.wait(TIMEOUT_S)
    assert not any(model.name == "rates-2" for model in client.models.list())


def test_a_pruned_trial_ends_early(client: Client, table: pa.Table) -> None:
    # Good ones first, none better than another: a grid is tried in its order, and the pruner looks at those that have
    # ended, in whatever order.
    space = {"learning_rate": [0.01, 0.01, 0.01, 0.01, 1e-7, 1e-7]}
    job = client.tune("pruned", "linear", table, "label", space, sampler="grid", pruner="median", epochs=8)
    trials = job.wait(TIMEOUT_S).trials()
    assert trials[-1].state == "pruned"
    assert len(trials[-1].history) < 8
    assert {trial.state for trial in trials[:4]} == {"complete"}


def test_a_killed_trial_is_tried_again_as_it_was(cluster: Cluster, client: Client, table: pa.Table) -> None:
    job = client.tune("killed", "mlp", table, "label", {"learning_rate": RATES}, trials=3, epochs=40, batch_size=4)
    wait_until(lambda: len(job.trials()) >= 2 and all(trial.history for trial in job.trials()))
    before = {trial.number: trial.parameters for trial in job.trials()}
    for pid in cluster.child_pids():
        os.kill(pid, signal.SIGKILL)
    trials = job.wait(TIMEOUT_S).trials()
    assert {trial.state for trial in trials} == {"complete"}
    assert {number: trials[number].parameters for number in before} == before
    assert {shard.attempt for shard in job.shards()} == {1, 2}
    assert len(client.models.versions("killed")) == 1


def test_every_fold_is_held_out_once(client: Client, table: pa.Table) -> None:
    job = client.cross_validate("digits", "linear", table, "label", folds=3, epochs=3).wait(TIMEOUT_S)
    folds = job.trials()
    assert [fold.parameters for fold in folds] == [{"fold": number} for number in range(3)]
    outcome = job.record().outcome
    assert outcome is not None
    accuracies = [fold.metrics["val_accuracy"] for fold in folds]
    assert len(set(accuracies)) > 1
    metrics, deviation = outcome["metrics"], outcome["std"]
    assert isinstance(metrics, dict)
    assert isinstance(deviation, dict)
    assert metrics["val_accuracy"] == pytest.approx(np.mean(accuracies))
    assert deviation["val_accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    assert not any(model.name == "digits" for model in client.models.list()), "no version is made"


def test_what_cannot_be_tried_is_refused_and_nothing_is_queued(client: Client, table: pa.Table) -> None:
    for space, options, said in (
        ({"config.hidden": [[8], "wide"]}, {}, r"^space.config.hidden: 'wide' is not valid: config.hidden"),
        ({"config.width": [8]}, {}, r"^space.config.width: 8 is not valid: config.width: unknown option"),
        ({"epochs": [0]}, {}, r"^space.epochs: 0 is not valid: epochs: 0"),
        ({"epochs": [1]}, {"trials": 0}, r"^trials: 0"),
        ({"epochs": [1]}, {"validation": 0}, r"^validation: 0: trials are compared on held-out rows"),
        ({"epochs": [1]}, {"sampler": "cma"}, r"^sampler: 'cma'"),
        ({"epochs": [1]}, {"epoch": 3}, r"^epoch: unknown option; did you mean epochs"),
    ):
        with pytest.raises(InvalidInput, match=said):
            client.tune("refused", "mlp", table, "label", space, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"^validation: 0.2: cross-validation holds out each fold"):
        client.cross_validate("refused", "mlp", table, "label", validation=0.2)  # type: ignore[call-arg]
    with pytest.raises(InvalidInput, match=r"^folds: 1"):
        client.cross_validate("refused", "mlp", table, "label", folds=1)
    assert not [job for job in client.jobs() if job.record().model == "refused"]


def test_from_the_shell(cluster: Cluster, table: pa.Table, tmp_path: Path) -> None:
    longshore = CommandLine(cluster.environment)
    pq.write_table(table, tmp_path / "digits.parquet")
    common = (tmp_path / "digits.parquet", "--model", "shell", "--target", "label", "--epochs", "1", "--wait")
    search = ("--search", "optimizer=" + json.dumps(["adam", "sgd"]), "--sampler", "grid")
    tuned = longshore("tune", *common, *search, "--json").fields
    assert (tuned["kind"], tuned["done"], tuned["unit"]) == ("tune", 2, "trials")
    shown = longshore("jobs", "show", str(tuned["id"])).out
    assert 'optimizer="adam"' in shown
    assert "shell:1" in shown
    folds = longshore("cross-validate", *common, "--folds", "2")
    assert folds.code == 0
    assert "2 of 2 folds" in folds.out
    assert "deviation" in folds.out
