"""One training in several processes of a worker: what it gives, and that nothing of it is left or lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.ledger.workers import Presence
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow

#: 719 rows are trained on: the last batch is smaller, and leaves an odd row.
OPTIONS: dict[str, object] = {
    **{"config": {"hidden": [32]}, "batch_size": 48, "epochs": 4, "seed": 5, "test": 0.1, "clip_grad_norm": 1.0},
    **{"metrics": ["accuracy", "f1"]},
}
#: Long enough to be met in its middle.
LONG: dict[str, object] = {
    **{"config": {"hidden": [32], "dropout": 0.3}, "batch_size": 16, "accumulate": 2, "seed": 5, "epochs": 30},
    **{"checkpoint_seconds": None, "checkpoint_steps": 10, "devices": 2},
}


@pytest.fixture(scope="module")
def table() -> pa.Table:
    images, labels = digits.digits()
    return digits.table(images[:900], labels[:900])


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, table: pa.Table) -> Job:
    with cluster.client() as client:
        return client.train("undisturbed", "mlp", table, "label", **LONG).wait(TIMEOUT_S)  # type: ignore[arg-type]


def weights(client: Client, job: Job) -> object:
    """The digest of what a job has trained."""
    outcome = job.record().outcome
    assert outcome is not None
    return client.models.get(f"{outcome['model']}:{outcome['version']}").manifest["weights"]


def reported(job: Job) -> dict[tuple[int, str], float]:
    """What was measured, by epoch and name; what comes but once a second depends on the machine."""
    return {(each.step, each.name): each.value for each in job.metrics() if not each.name.startswith("step/")}


def processes(cluster: Cluster) -> list[psutil.Process]:
    """Launchers and ranks of this cluster's trainings."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("LONGSHORE_STORE") == cluster.settings.store
            if ours and any("train.distributed" in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:  # another user's, a zombie, or gone
            continue
    return found


def ranks(cluster: Cluster) -> list[psutil.Process]:
    return [each for each in processes(cluster) if "longshore.workers.train.distributed.rank" in each.cmdline()]


def newest_step(cluster: Cluster, job: Job) -> int:
    found = cluster.ledger.checkpoints.newest(job.id)
    return 0 if found is None else found.step


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_devices_train_what_one_does(cluster: Cluster, client: Client, table: pa.Table, strategy: str) -> None:
    one = client.train("one", "mlp", table, "label", **OPTIONS).wait(TIMEOUT_S)  # type: ignore[arg-type]
    two = client.train("two", "mlp", table, "label", devices=2, strategy=strategy, **OPTIONS).wait(TIMEOUT_S)  # type: ignore[arg-type]
    wanted, found = reported(one), reported(two)
    assert found.keys() == wanted.keys()
    assert (4, "test_f1") in found
    assert all(found[each] == pytest.approx(wanted[each], abs=1e-5) for each in wanted)
    outcomes = [job.record().outcome for job in (one, two)]
    assert outcomes[0] is not None
    assert outcomes[1] is not None
    assert outcomes[1]["confusion_matrix"] == outcomes[0]["confusion_matrix"]
    stored = client.models.get(f"two:{outcomes[1]['version']}").manifest["metrics"]
    assert isinstance(stored, dict)
    assert stored["val_loss"] == found[4, "val_loss"]
    rows = table.slice(0, 50)
    answers = [client.infer(name, rows).wait(TIMEOUT_S).results()["label"].to_pylist() for name in ("one", "two")]
    assert answers[0] == answers[1]
    assert not processes(cluster)


def test_a_killed_process_ends_the_attempt_and_the_next_goes_on(
    cluster: Cluster, client: Client, table: pa.Table, undisturbed: Job
) -> None:
    job = client.train("killed-rank", "mlp", table, "label", **LONG)  # type: ignore[arg-type]
    wait_until(lambda: newest_step(cluster, job) >= 100, "a checkpoint", TIMEOUT_S)
    killed = ranks(cluster)[-1]
    rank = killed.environ()["RANK"]
    killed.kill()
    job.wait(TIMEOUT_S)
    shard = job.shards()[0]
    assert shard.attempt == 2
    assert f"rank {rank} (SIGKILL) of 2 was killed" in str(shard.errors)
    assert weights(client, job) == weights(client, undisturbed)
    assert reported(job) == reported(undisturbed)
    assert not processes(cluster)


def test_a_killed_worker_leaves_no_process_and_its_training_goes_on(
    cluster: Cluster, client: Client, table: pa.Table, undisturbed: Job
) -> None:
    job = client.train("killed-worker", "mlp", table, "label", **LONG)  # type: ignore[arg-type]
    wait_until(lambda: newest_step(cluster, job) >= 100, "a checkpoint", TIMEOUT_S)
    before = processes(cluster)
    assert len(before) == 3
    folder = Path(before[0].cmdline()[-1])
    for pid in cluster.child_pids():
        os.kill(pid, signal.SIGKILL)
    gone, alive = psutil.wait_procs(before, timeout=TIMEOUT_S)
    assert (len(gone), alive) == (3, [])
    assert not folder.exists()
    job.wait(TIMEOUT_S)
    assert job.shards()[0].attempt >= 2
    assert weights(client, job) == weights(client, undisturbed)
    assert reported(job) == reported(undisturbed)


def test_a_training_that_is_handed_back_goes_on(
    cluster: Cluster, client: Client, table: pa.Table, undisturbed: Job
) -> None:
    job = client.train("handed-back", "mlp", table, "label", **LONG)  # type: ignore[arg-type]
    wait_until(lambda: newest_step(cluster, job) >= 100, "a checkpoint", TIMEOUT_S)
    before = processes(cluster)
    cluster.restart_workers()
    assert not any(each.is_running() for each in before)
    job.wait(TIMEOUT_S)
    assert weights(client, job) == weights(client, undisturbed)
    assert reported(job) == reported(undisturbed)
    longer = job.extend(1).wait(TIMEOUT_S)
    assert {step for step, _ in reported(longer)} == {31}


def test_a_cancelled_training_leaves_no_process(cluster: Cluster, client: Client, table: pa.Table) -> None:
    job = client.train("cancelled", "mlp", table, "label", **{**LONG, "epochs": 10_000})  # type: ignore[arg-type]
    wait_until(lambda: newest_step(cluster, job) >= 20, "a checkpoint", TIMEOUT_S)
    assert len(processes(cluster)) == 3
    job.cancel()
    wait_until(lambda: not processes(cluster), "the end of the processes")
    assert job.state is State.CANCELLED


def test_what_a_process_refuses_ends_the_job_at_once(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    # Not CSV, whose first 4 MiB are checked at the call.
    path = tmp_path / "rows.parquet"
    rows = np.arange(20_000) + 0.5
    rows[15_000] = np.inf
    pq.write_table(pa.table({"x": rows, "y": np.arange(20_000) % 2}), path)
    job = client.train("bad", "linear", path, "y", devices=2, epochs=1)
    with pytest.raises(JobFailed, match=r"data: row 15000: .*correct or remove it"):
        job.wait(TIMEOUT_S)
    assert job.shards()[0].attempt == 1
    assert not processes(cluster)


def test_the_command_line_trains_on_several_devices(cluster: Cluster, table: pa.Table, tmp_path: Path) -> None:
    pq.write_table(table, tmp_path / "rows.parquet")
    longshore = CommandLine(cluster.environment)
    data = str(tmp_path / "rows.parquet")
    asked = ["train", data, "--model", "cli", "--family", "linear", "--target", "label", "--epochs", "1"]
    found = longshore(*asked, "--devices", "2", "--strategy", "fsdp", "--wait", "--json").fields
    assert found["state"] == "succeeded"


def test_streamed_rows_and_a_teacher_are_shared_too(
    cluster: Cluster, client: Client, table: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=100)
    client.train("teacher", "linear", table, "label", epochs=1).wait(TIMEOUT_S)
    options: dict[str, object] = {**OPTIONS, "stream": True, "shuffle_window": 96, "teacher": "teacher:1", "epochs": 2}
    one, two = (
        client.train("taught", "mlp", tmp_path / "rows.parquet", "label", devices=devices, **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
        for devices in (1, 2)
    )
    wanted, found = reported(one), reported(two)
    assert found.keys() == wanted.keys()
    assert all(found[each] == pytest.approx(wanted[each], abs=1e-5) for each in wanted)


@pytest.mark.parametrize(("device", "has"), [("cuda:0", "one GPU"), ("cuda:0+cuda:1", "2 GPUs")])
def test_more_gpus_than_any_worker_has_are_refused_at_the_call(
    cluster: Cluster, client: Client, table: pa.Table, device: str, has: str
) -> None:
    name = f"{device}@tests"
    there = Presence(name=name, device=device, queue="gpu", host="tests", pid=1, families=["mlp"])
    cluster.ledger.workers.see(there)
    try:
        with pytest.raises(InvalidInput, match=rf"^devices: 4: no worker has more than {has}; .*cuda:2\+cuda:3"):
            client.train("wide", "mlp", table, "label", devices=4)
        if has == "2 GPUs":
            job = client.train("wide", "mlp", table, "label", devices=2)
            assert job.record().queue == "gpu"
            job.cancel()
        # A worker on CPUs takes any number.
        client.train("wide", "mlp", table, "label", devices=4, device="cpu").cancel()
    finally:
        cluster.ledger.workers.forget(there)


def test_what_does_not_go_together_is_refused_at_the_call(client: Client, table: pa.Table) -> None:
    def refused(field: str, reason: str, **options: object) -> None:
        with pytest.raises(InvalidInput, match=reason) as error:
            client.train("refused", "linear", table, "label", **options)  # type: ignore[arg-type]
        assert error.value.field == field

    refused("devices", "leaves some without any", devices=8, batch_size=4)
    refused("devices", "greater than or equal to 1", devices=0)
    refused("class_weights", "weigh its rows by themselves", devices=2, class_weights="balanced")
    refused("devices", "compares all rows of a batch", devices=2, task="embedding")
    refused("strategy", "for several devices", strategy="fsdp")
    refused("precision", "not with the strategy fsdp", strategy="fsdp", devices=2, precision="fp16")
    with pytest.raises(InvalidInput, match=r"^devices: 2: trials already run on all workers"):
        client.tune("refused", "linear", table, "label", {"learning_rate": [0.1, 0.2]}, devices=2)  # type: ignore[call-arg]
    with pytest.raises(InvalidInput, match=r"^devices: 2: folds already run on all workers"):
        client.cross_validate("refused", "linear", table, "label", devices=2)  # type: ignore[call-arg]
