"""Small jobs that may wait to be batched, on one worker: with several, no test could say which of them runs a batch."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from longshore.producers import Client, Infer
from longshore.shared.ledger.shards.batching import MAX_BATCH_SHARDS
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("digits_version")


@pytest.fixture(scope="module")
def worker_environment() -> Mapping[str, str]:
    # Attempts are counted: none is to be lost because a busy machine lets a heartbeat wait.
    return {"LONGSHORE_LEASE": "30"}


def test_a_job_that_may_wait_runs_with_those_that_come_later(client: Client) -> None:
    image = digits.digits()[0][:1]
    first = client.infer("digits:1", image, max_wait_ms=60_000)
    wait_until(lambda: first.state is State.RUNNING, "the claim of the first")
    # Full, it runs at once: nobody waits for the minute to pass.
    others = client.submit_many([Infer("digits:1", image, {"max_wait_ms": 60_000})] * (MAX_BATCH_SHARDS - 1))
    client.wait([first, *others], 45)
    ends = {job.record().finished_at for job in (first, *others)}
    assert len(ends) <= 2
    assert first.record().finished_at in {job.record().finished_at for job in others}


def test_a_worker_that_is_stopped_does_not_wait_for_company(cluster: Cluster, client: Client) -> None:
    job = client.infer("digits:1", digits.digits()[0][:1], max_wait_ms=60_000)
    wait_until(lambda: job.state is State.RUNNING, "the claim")
    cluster.stop_workers()
    assert job.shards()[0].state is State.QUEUED
    job.cancel()
    cluster.start_workers()
