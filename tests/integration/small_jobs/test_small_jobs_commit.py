"""Groups of small jobs are committed while the next group is computed; one whose commit breaks runs again."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from longshore.producers import Client, Infer, Job
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.support import no_results_written
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.usefixtures("digits_version")

#: Commits that wait for the table ``results``.
WAITING = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'COPY results %'
"""


@pytest.fixture(scope="module")
def worker_environment() -> Mapping[str, str]:
    # Attempts are counted: none is to be lost because a busy machine lets a heartbeat wait.
    return {"LONGSHORE_LEASE": "30"}


def submit(client: Client, count: int) -> list[Job]:
    return client.submit_many([Infer("digits:1", digits.digits()[0][:1])] * count)


def test_a_group_whose_commit_breaks_runs_again_job_by_job(cluster: Cluster, client: Client) -> None:
    with no_results_written(cluster.settings) as link:
        jobs = submit(client, 20)
        wait_until(lambda: link.execute(WAITING).fetchall(), "the commit")
        link.execute(f"SELECT pg_terminate_backend(pid) FROM ({WAITING}) AS waiting")
        # A try that is handed back does not count: there is one more.
        wait_until(lambda: {job.shards()[0].attempt_limit for job in jobs} == {4}, "their way back")
    client.wait(jobs, TIMEOUT_S)
    for job in jobs:
        assert job.state is State.SUCCEEDED
        assert job.results().num_rows == 1
        assert job.shards()[0].attempt == 2


def test_the_next_group_is_computed_meanwhile(cluster: Cluster, client: Client) -> None:
    with no_results_written(cluster.settings) as link:
        first = submit(client, 20)
        wait_until(lambda: link.execute(WAITING).fetchall(), "the commit")
        second = submit(client, 20)
        wait_until(lambda: {job.shards()[0].state for job in second} == {State.RUNNING}, "the next claim")
        assert {job.shards()[0].state for job in first} == {State.RUNNING}
    client.wait([*first, *second], TIMEOUT_S)
    assert {job.shards()[0].attempt for job in (*first, *second)} == {1}


def test_what_is_computed_is_committed_before_a_worker_stops(cluster: Cluster, client: Client) -> None:
    with no_results_written(cluster.settings) as link:
        jobs = submit(client, 20)
        wait_until(lambda: link.execute(WAITING).fetchall(), "the commit")
    cluster.stop_workers()
    assert {job.shards()[0].state for job in jobs} == {State.SUCCEEDED}
    cluster.start_workers()
