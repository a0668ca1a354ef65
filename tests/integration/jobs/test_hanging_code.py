"""Code that never returns or ends its process: the worker is free again, and the owner learns why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from longshore.producers import Client, Infer
from longshore.shared.errors import JobFailed
from longshore.shared.vocabulary import State
from tests.integration.cluster import Cluster
from tests.integration.jobs.hostile import Deed, hostile_client, infer, install
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def worker_environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return {
        "PYTHONPATH": install(tmp_path_factory.mktemp("installed")),
        "LONGSHORE_LEASE": "12",
        "LONGSHORE_STALL_TIMEOUT": "4",
        "LONGSHORE_PROGRESS_TIMEOUT": "10",
        "LONGSHORE_SHARD_TIMEOUT": "14",
        "LONGSHORE_MEMORY_LIMIT_BYTES": str(2 * 2**30),
    }


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    with hostile_client(cluster) as client:
        yield client


def check_free(client: Client) -> None:
    """The worker runs another job, so it was not kept."""
    infer(client, 0.5).wait(TIMEOUT_S)


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (Deed.EXIT, "ended with status 7"),
        (Deed.SEGFAULT, "ended by SIGSEGV"),
        (Deed.WAIT, "made no progress for 4 s"),
        (Deed.TAKE_MEMORY, r"GiB of memory, and the limit of its worker is 2.00 GiB"),
        (Deed.HOLD_INTERPRETER, r"did not answer for 9 s: .* holds the Python interpreter"),
        (Deed.LOOP, "computed for 10 s without any progress"),
    ],
)
def test_the_owner_learns_what_ended_the_process(client: Client, deed: Deed, reason: str) -> None:
    job = infer(client, deed, max_attempts=1)
    with pytest.raises(JobFailed, match=reason):
        job.wait(TIMEOUT_S)
    (error,) = job.errors()
    # Where it was, and its last words, without the password in them.
    assert f"last log lines: deed {deed:d} at https://***@example.org" in error.message
    assert "hunter2" not in error.message
    if deed not in (Deed.EXIT, Deed.HOLD_INTERPRETER):
        assert "forward (hostile_family.py:" in error.message
    check_free(client)


def test_a_shard_that_takes_too_long_ends_and_keeps_the_process(cluster: Cluster, client: Client) -> None:
    (child,) = cluster.child_pids()
    rows = [{"x": float(Deed.SLOW)}] * 100
    job = client.infer("hostile", rows, batch_size=1, rows_per_shard=100, max_attempts=1)
    with pytest.raises(JobFailed, match=r"longer than 14 s, the time limit of its worker .*LONGSHORE_SHARD_TIMEOUT"):
        job.wait(TIMEOUT_S)
    assert cluster.child_pids() == [child]


def test_a_call_of_exit_ends_the_attempt_at_once(client: Client) -> None:
    with pytest.raises(JobFailed, match="SystemExit: 9"):
        infer(client, Deed.CALL_EXIT, max_attempts=1).wait(TIMEOUT_S)
    check_free(client)


def test_a_cancelled_job_that_does_not_stop_frees_the_worker(cluster: Cluster, client: Client) -> None:
    (child,) = cluster.child_pids()
    job = infer(client, Deed.LOOP)
    wait_until(lambda: job.state is State.RUNNING, "the start of the job")
    job.cancel()
    check_free(client)
    assert cluster.child_pids() != [child]
    assert [shard.attempt for shard in job.shards()] == [1]


def test_a_shard_that_kills_its_worker_takes_no_attempts_of_others(client: Client) -> None:
    values = [0.0] * 30
    values[11] = Deed.EXIT
    jobs = client.submit_many([Infer("hostile", [{"x": float(value)}]) for value in values])
    poison = jobs.pop(11)
    for job in jobs:
        job.wait(TIMEOUT_S)
        assert job.errors() == []
        assert job.results().num_rows == 1
    with pytest.raises(JobFailed, match="ended with status 7"):
        poison.wait(TIMEOUT_S)
    # Its own attempts, without the one that ran with others.
    assert len(poison.errors()) == 3
