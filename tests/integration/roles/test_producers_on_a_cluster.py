"""Whole jobs of two producers on a relay and workers, each process with its own login and row-level security on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from longshore.producers import Client, Infer, Job
from longshore.shared.errors import JobFailed, UnknownJob
from longshore.shared.ledger.roles.install import Login, install_roles
from longshore.shared.ledger.roles.rights import Role
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.logins import PASSWORD, login_url
from tests.integration.support import no_results_written
from tests.waiting import TIMEOUT_S

OWN, OTHER = "test_team_a", "test_team_b"


@pytest.fixture(scope="module")
def secured(cluster: Cluster) -> Iterator[Cluster]:
    """The policies are made while the relay and the workers run, as they are in a deployment."""
    url = cluster.settings.database_url
    logins = [Login(name, PASSWORD, (Role.PRODUCER,)) for name in (OWN, OTHER)]
    install_roles(url, logins=logins, row_security=True)
    try:
        yield cluster
    finally:
        install_roles(url, row_security=False)


def connect(cluster: Cluster, login: str) -> Client:
    settings = cluster.settings
    return Client(
        redis_url=settings.redis_url,
        database_url=login_url(settings.database_url, login),
        store=settings.store,
        producer=login,
    )


@pytest.fixture(scope="module")
def own(secured: Cluster) -> Iterator[Client]:
    with connect(secured, OWN) as client:
        yield client


@pytest.fixture(scope="module")
def other(secured: Cluster) -> Iterator[Client]:
    with connect(secured, OTHER) as client:
        yield client


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits.write(tmp_path_factory.mktemp("data") / "digits.parquet")


@pytest.fixture(scope="module")
def trained(own: Client, data: Path) -> Job:
    """The job that made digits:1."""
    return own.train("digits", "linear", data, "label", epochs=2, alias="production").wait(TIMEOUT_S)


def rows(count: int) -> list[dict[str, list[float]]]:
    return [{"pixels": row.tolist()} for row in digits.digits()[0][:count]]


def test_training_and_a_chain_run_to_their_end(own: Client, trained: Job, data: Path) -> None:
    assert [metric.name for metric in trained.metrics()].count("val_accuracy") == 2
    assert own.models.get("digits@production").job_id == trained.id
    first = own.train("digits", "linear", data, "label", epochs=1)
    last = first.then.evaluate(data, bootstrap=0).then.promote("best", if_="accuracy > 0").then.infer(rows(3))
    last.wait(TIMEOUT_S)
    assert len(last.chain()) == 4
    assert {job.record().producer for job in last.chain()} == {OWN}
    assert len(last.results()) == 3
    assert own.models.get("digits@best").version == 2


def test_rows_and_files_have_each_result_once(own: Client, trained: Job, data: Path, tmp_path: Path) -> None:
    inline = own.infer("digits:1", rows(20))
    shards = own.infer("digits:1", data, rows_per_shard=600)
    files = own.infer("digits:1", data, output=str(tmp_path / "out" / "*.parquet"), rows_per_shard=1000)
    small = own.submit_many([Infer("digits:1", rows(1)) for _ in range(4)])
    for job in (inline, shards, files, *small):
        job.wait(TIMEOUT_S)
    assert inline.results()["row"].to_pylist() == list(range(20))
    assert shards.results()["row"].to_pylist() == list(range(1797))
    assert len(files.parts()) == 2
    assert [len(job.results()) for job in small] == [1] * 4


def test_failed_rows_are_read_and_run_again(own: Client, trained: Job) -> None:
    bad = rows(5)
    bad[2]["pixels"][0] = float("nan")
    job = own.infer("digits:1", bad)
    with pytest.raises(JobFailed):
        job.wait(TIMEOUT_S)
    assert [error.row for error in job.errors() if error.row is not None] == [2]
    job.retry(rows="failed")
    with pytest.raises(JobFailed):
        job.wait(TIMEOUT_S)
    assert job.results()["row"].to_pylist() == [0, 1, 3, 4]


def test_a_cancelled_job_is_retried(secured: Cluster, own: Client, trained: Job, data: Path) -> None:
    with no_results_written(secured.settings):
        job = own.infer("digits:1", data, rows_per_shard=10)
        job.cancel()
        assert job.state is State.CANCELLED
    job.retry()
    job.wait(TIMEOUT_S)
    assert job.results()["row"].to_pylist() == list(range(1797))


def test_nothing_of_another_producer_is_seen_or_changed(own: Client, other: Client, trained: Job, data: Path) -> None:
    running = own.infer("digits:1", data, rows_per_shard=10)
    mine = other.infer("digits@production", rows(3))
    attempts: list[Callable[[], object]] = [
        lambda: other.job(running.id).record(),
        lambda: other.job(running.id).results(),
        lambda: other.job(running.id).errors(),
        lambda: other.job(running.id).wait(TIMEOUT_S),
        lambda: other.job(running.id).cancel(),
        lambda: other.job(trained.id).retry(),
        lambda: other.job(trained.id).metrics(),
        lambda: other.job(trained.id).extend(1),
        lambda: other.job(trained.id).then.promote("stolen"),
    ]
    seen = [number for number, attempt in enumerate(attempts) if not is_refused(attempt)]
    assert seen == []
    assert len(mine.wait(TIMEOUT_S).results()) == 3
    assert {job.id for job in other.jobs()} == {mine.id}
    running.wait(TIMEOUT_S)
    assert running.results()["row"].to_pylist() == list(range(1797))
    assert mine.id not in {job.id for job in own.jobs(limit=1000)}


def is_refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except UnknownJob:
        return True
    return False
