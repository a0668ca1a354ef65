"""Chains on real processes: from data to a version in use, whoever is killed in between."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client
from longshore.producers.job import Job
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.waiting import TIMEOUT_S, wait_until


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits.write(tmp_path_factory.mktemp("data") / "digits.parquet")


def chain(client: Client, model: str, data: Path, output: Path, condition: str, epochs: int = 3) -> list[Job]:
    """Train, evaluate, promote and infer."""
    train = client.train(model, "mlp", data, "label", epochs=epochs, seed=1)
    evaluate = train.then.evaluate(data, bootstrap=50)
    promote = evaluate.then.promote("production", if_=condition)
    return [train, evaluate, promote, promote.then.infer(data, output=f"{output}/*.parquet")]


def test_from_data_to_results_with_one_wait(client: Client, cluster: Cluster, data: Path, tmp_path: Path) -> None:
    jobs = chain(client, "whole", data, tmp_path / "out", "accuracy >= 0.5 and accuracy >= production")
    assert jobs[-1].wait(TIMEOUT_S).state is State.SUCCEEDED
    assert [job.state for job in jobs] == [State.SUCCEEDED] * 4
    assert [job.record().version for job in jobs] == [None, 1, 1, 1]
    assert client.models.get("whole@production").version == 1
    assert sum(pq.read_table(part).num_rows for part in jobs[-1].parts()) == 1797
    assert [job.id for job in jobs[2].chain()] == [job.id for job in jobs]
    line = CommandLine(cluster.environment)
    shown = line("jobs", "show", str(jobs[1].id)).out
    assert all(str(job.id) in shown for job in jobs)
    told = line("jobs", "show", str(jobs[2].id), "--json").fields
    assert told["after"] == str(jobs[1].id)
    assert isinstance(told["chain"], list)
    assert len(told["chain"]) == 4


def test_a_condition_that_is_false_ends_the_chain(client: Client, data: Path, tmp_path: Path) -> None:
    jobs = chain(client, "refused", data, tmp_path / "out", "accuracy > 1")
    with pytest.raises(JobFailed, match=rf"job {jobs[2].id} failed: refused@production points at no version: accuracy"):
        jobs[-1].wait(TIMEOUT_S)
    assert [job.state for job in jobs] == [State.SUCCEEDED, State.SUCCEEDED, State.FAILED, State.FAILED]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.parquet"))


def test_a_chain_outlives_its_producer_the_relay_and_a_worker(
    client: Client, cluster: Cluster, data: Path, tmp_path: Path
) -> None:
    # The relay is away while the chain is submitted, and its producer is gone right after.
    cluster.stop_relay()
    try:
        with cluster.client("gone") as gone:
            ids = [job.id for job in chain(gone, "outlives", data, tmp_path / "out", "accuracy >= 0", epochs=60)]
        jobs = [client.job(id_) for id_ in ids]
        wait_until(lambda: jobs[0].metrics(), "the first epoch")
        before = cluster.worker_pids()
        for pid in cluster.child_pids():
            os.kill(pid, signal.SIGKILL)
        for pid in before:
            psutil.Process(pid).kill()
        cluster.wait_for_workers(other_than=before)
        assert {job.state for job in jobs[1:]} == {State.WAITING}
    finally:
        cluster.start_relay()
    jobs[0].wait(TIMEOUT_S)
    # Between the links.
    cluster.kill_relay()
    cluster.start_relay()
    assert jobs[-1].wait(TIMEOUT_S).record().version == 1
    assert [job.state for job in jobs] == [State.SUCCEEDED] * 4
    assert [len(move) for move in [client.models.history("outlives", "production")]] == [1]


def test_the_retry_of_a_link_runs_the_rest(client: Client, data: Path) -> None:
    first = client.train("again", "mlp", data, "label", epochs=50, learning_rate=1e-3)
    second = first.then.evaluate(data)
    third = second.then.promote("production")
    second.cancel()
    with pytest.raises(JobFailed, match=f"job {second.id} cancelled"):
        third.wait(TIMEOUT_S)
    with pytest.raises(InvalidInput, match="retry that one"):
        third.retry()
    second.retry()
    third.wait(TIMEOUT_S)
    assert client.models.get("again@production").version == 1


def test_what_cannot_come_after_a_job_is_refused(client: Client, data: Path) -> None:
    job = client.train("head", "mlp", data, "label", epochs=1)
    wrong: list[tuple[Callable[[], Job], str]] = [
        (lambda: job.then.evaluate(data, "nothing"), "target"),
        (lambda: job.then.evaluate(data, epochs=2), "epochs"),  # type: ignore[call-arg]
        (lambda: job.then.infer("/no/such/file.parquet"), "data"),
        (lambda: job.then.promote("Production"), "alias"),
        (lambda: job.then.promote("production", if_="accuracy >="), "if_"),
        (lambda: job.then.promote("production", format="csv"), "format"),  # type: ignore[call-arg]
    ]
    for make, field in wrong:
        with pytest.raises(InvalidInput) as refused:
            make()
        assert refused.value.field == field
    assert len(job.chain()) == 1
    job.wait(TIMEOUT_S)
    # Its version is known now, and with it the columns.
    with pytest.raises(InvalidInput, match="no column 'pixels'"):
        job.then.infer([{"a": 1.0}])
    # Of one that is not made yet the worker finds out, at its first attempt.
    late = client.train("late", "mlp", data, "label", epochs=50).then.infer([{"a": 1.0}])
    with pytest.raises(JobFailed, match="the data has no column 'pixels'"):
        late.wait(TIMEOUT_S)
    assert [shard.attempt for shard in late.shards()] == [1]
    odd = client.train("odd", "mlp", data, "label", epochs=50).then.infer(data, threshold=0.3)
    with pytest.raises(JobFailed, match=r"threshold: 0\.3: only for multilabel"):
        odd.wait(TIMEOUT_S)
    made = [job.then.evaluate(data, idempotency_key="once") for _ in range(2)]
    assert made[0].id == made[1].id
    assert made[0].wait(TIMEOUT_S).evaluation().rows == 1797
    folds = client.cross_validate("head", "mlp", data, "label", epochs=1, folds=2)
    with pytest.raises(InvalidInput, match="makes no version"):
        folds.then.promote("production")
    folds.cancel()
    with pytest.raises(InvalidInput, match="makes no version"):
        folds.then.promote("production")
