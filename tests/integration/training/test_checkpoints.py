"""A training survives its worker, and goes on where it was."""

from __future__ import annotations

import logging
import os
import random
import signal
from collections.abc import Callable
from datetime import timedelta

import pyarrow as pa
import pytest

from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.store.store import Store
from longshore.shared.store_gc import referenced_blobs
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow

log = logging.getLogger(__name__)

EPOCHS = 40
OPTIONS: dict[str, object] = {
    **{"config": {"hidden": [64], "dropout": 0.3}, "batch_size": 8, "accumulate": 2, "clip_grad_norm": 1.0, "seed": 5},
    **{"checkpoint_seconds": None, "checkpoint_steps": 25},
    **{"schedule": "step", "step_size": 7, "gamma": 0.8, "warmup_steps": 60},
}


@pytest.fixture(scope="module")
def table() -> pa.Table:
    images, labels = digits.digits()
    return digits.table(images[:800], labels[:800])


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, table: pa.Table) -> Job:
    with cluster.client() as client:
        return client.train("undisturbed", "mlp", table, "label", epochs=EPOCHS, **OPTIONS).wait(TIMEOUT_S)  # type: ignore[arg-type]


def weights(client: Client, job: Job) -> object:
    """The digest of what a job has trained."""
    outcome = job.record().outcome
    assert outcome is not None
    return client.models.get(f"{outcome['model']}:{outcome['version']}").manifest["weights"]


def reported(job: Job) -> dict[tuple[int, str], float]:
    """What was measured, by epoch and name; what comes but once a second depends on the machine."""
    return {(each.step, each.name): each.value for each in job.metrics() if not each.name.startswith("step/")}


def explained(job: Job) -> object:
    """What a training says of itself."""
    outcome = job.record().outcome
    assert outcome is not None
    names = ("epochs", "best_epoch", "best_metrics", "final_metrics", "metrics", "monitor", "stopped_early")
    return job.notes, {name: outcome[name] for name in names}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_training_ends_with_the_same_bits(
    cluster: Cluster, client: Client, table: pa.Table, undisturbed: Job, seed: int
) -> None:
    def submit(asked: dict[str, object]) -> Job:
        return client.train(f"killed-{seed}", "mlp", table, "label", epochs=EPOCHS, **{**OPTIONS, **asked})  # type: ignore[arg-type]

    job = killed(cluster, submit, random.Random(seed).randrange(1, 1500))
    assert weights(client, job) == weights(client, undisturbed)
    assert reported(job) == reported(undisturbed)
    assert explained(job) == explained(undisturbed)


@pytest.mark.parametrize("step", [511])
def test_so_does_one_of_batch_norm_and_a_rate_of_one_cycle(
    cluster: Cluster, client: Client, table: pa.Table, step: int
) -> None:
    blocks = {"channels": [4, 6], "kernel_size": [3, 3], "padding": 1, "norm": "batch", "global_pool": True}
    options: dict[str, object] = {
        **{"config": {"input_shape": [1, 8, 8], "hidden": [16], "dropout": 0.4, **blocks}, "batch_size": 16},
        **{"schedule": "one_cycle", "optimizer": "adamw", "weight_decay": 0.01, "class_weights": "balanced"},
        **{"augment": {"random_crop": {"padding": 1}}, "early_stopping": 20, "seed": 5, "epochs": 20},
    }
    whole = client.train("whole", "cnn", table, "label", **options).wait(TIMEOUT_S)  # type: ignore[arg-type]

    def submit(asked: dict[str, object]) -> Job:
        return client.train("cnn", "cnn", table, "label", **{**options, **asked})  # type: ignore[arg-type]

    job = killed(cluster, submit, step)
    assert weights(client, job) == weights(client, whole)
    assert reported(job) == reported(whole)
    assert explained(job) == explained(whole)


def killed(cluster: Cluster, submit: Callable[[dict[str, object]], Job], step: int) -> Job:
    """A training whose worker's child is killed after a step, and which has gone on from there."""
    # Kept at this very step, in the middle of an epoch, so that it is where the next attempt goes on.
    job = submit({"checkpoint_seconds": None, "checkpoint_steps": step})
    wait_until(lambda: newest_step(cluster, job) >= step, f"step {step}", TIMEOUT_S)
    for pid in cluster.child_pids():
        os.kill(pid, signal.SIGKILL)
    kept = newest_step(cluster, job)
    log.warning("killed after step %d; the last checkpoint is of step %d", step, kept)
    assert job.state is not State.SUCCEEDED
    job.wait(TIMEOUT_S)
    assert job.shards()[0].attempt == 2
    assert not kept % step
    return job


def newest_step(cluster: Cluster, job: Job) -> int:
    found = cluster.ledger.checkpoints.newest(job.id)
    return 0 if found is None else found.step


def test_a_cancelled_training_goes_on_when_it_is_retried(
    cluster: Cluster, client: Client, table: pa.Table, undisturbed: Job
) -> None:
    job = client.train("cancelled", "mlp", table, "label", epochs=EPOCHS, **OPTIONS)  # type: ignore[arg-type]
    wait_until(lambda: newest_step(cluster, job) >= 100, "a checkpoint", TIMEOUT_S)
    job.cancel()
    kept = newest_step(cluster, job)
    assert kept >= 100
    job.retry().wait(TIMEOUT_S)
    assert weights(client, job) == weights(client, undisturbed)
    assert reported(job) == reported(undisturbed)


def test_training_on_is_training_longer(cluster: Cluster, client: Client, table: pa.Table, undisturbed: Job) -> None:
    first = client.train("extended", "mlp", table, "label", epochs=EPOCHS - 10, **OPTIONS).wait(TIMEOUT_S)  # type: ignore[arg-type]
    second = first.extend(4).wait(TIMEOUT_S)
    assert (second.progress.done, second.progress.total) == (4, 4)
    assert (first.record().extends, second.record().extends) == (None, first.id)
    assert f"longshore jobs extend {first.id} --epochs 10" in [step.command for step in first.why().next]
    longshore = CommandLine(cluster.environment)
    said = longshore("jobs", "extend", str(second.id), "--epochs", "6", "--wait", "--json")
    third = said.fields
    assert f"it goes on from the last checkpoint of {second.id}" in said.err
    assert third["extends"] == str(second.id)
    assert ["extends", str(second.id)] in [
        line.split() for line in longshore("jobs", "show", str(third["id"])).out.splitlines()
    ]
    listed = longshore("jobs", "list", "--columns", "extends", "--model", "extended").out
    assert listed.split() == ["EXTENDS", str(second.id), str(first.id)]
    extended = client.job(str(third["id"]))
    assert weights(client, extended) == weights(client, undisturbed)
    assert explained(extended) == explained(undisturbed)
    measured = {step: value for (step, name), value in reported(undisturbed).items() if name == "val_loss"}
    own = {step: value for (step, name), value in reported(second).items() if name == "val_loss"}
    assert own == {step: measured[step] for step in range(EPOCHS - 9, EPOCHS - 5)}
    assert len(client.models.versions("extended")) == 3


def test_what_cannot_be_extended_says_why(client: Client, table: pa.Table) -> None:
    without = client.train("without", "linear", table, "label", epochs=1, keep_checkpoints=0).wait(TIMEOUT_S)
    with pytest.raises(InvalidInput, match=r"has kept no checkpoint \(keep_checkpoints=0\)"):
        without.extend(1)
    inferred = client.infer("without", table).wait(TIMEOUT_S)
    with pytest.raises(InvalidInput, match=r"is of kind infer; a training that has succeeded can be extended"):
        inferred.extend(1)
    cosine = client.train("without", "linear", table, "label", epochs=2, schedule="cosine").wait(TIMEOUT_S)
    with pytest.raises(InvalidInput, match=r"^schedule: the learning rate of cosine ended with the job"):
        cosine.extend(1)
    stopped = client.train("without", "linear", table, "label", epochs=200, learning_rate=0.5, early_stopping=1)
    with pytest.raises(InvalidInput, match=r"stopped early, after epoch \d+ of 200, because it no longer improved"):
        stopped.wait(TIMEOUT_S).extend(1)
    with pytest.raises(InvalidInput, match=r"^epochs: 0: give 1 or more"):
        without.extend(0)
    with pytest.raises(InvalidInput, match=r"^extends: unknown option"):
        client.train("without", "linear", table, "label", extends=without.id)  # type: ignore[call-arg]


def test_one_checkpoint_stays_and_the_store_keeps_it(cluster: Cluster, client: Client, undisturbed: Job) -> None:
    found = cluster.ledger.checkpoints.newest(undisturbed.id)
    assert found is not None
    assert found.epoch == EPOCHS + 1
    assert not cluster.ledger.checkpoints.prune(undisturbed.id, 1), "it is the only one"
    store = Store(client.settings.store)
    assert found.blob in referenced_blobs(store, cluster.ledger)
    assert len(store.read_blob(found.blob)) == found.size_bytes
    # Those before it went with it: nothing is left for a sweep.
    swept = client.sweep_store(timedelta(hours=2), dry_run=True)
    assert not swept.blobs


def test_a_loss_that_is_no_number_names_step_rate_and_checkpoint(client: Client) -> None:
    rows = {"x": [float(x) for x in range(640)], "y": [3.0 * x for x in range(640)]}
    options = {"task": "regression", "optimizer": "sgd", "learning_rate": 1.2, "epochs": 200, "checkpoint_steps": 3}
    job = client.train("diverging", "linear", rows, "y", **options)  # type: ignore[arg-type]
    where = r"epoch \d+, step \d+; the last good checkpoint is of epoch \d+, step \d+"
    with pytest.raises(JobFailed, match=rf"learning_rate: 1\.2: the loss.* became .* in {where}"):
        job.wait(TIMEOUT_S)
