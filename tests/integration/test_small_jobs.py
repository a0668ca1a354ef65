"""Small jobs of many producers on two workers: each is done once, whatever happens to messages and workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
import redis

from longshore.producers import Client, Infer, Job
from longshore.shared.jobs import State
from longshore.shared.ledger.company import GROUP_SHARDS
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.support import together, wait_until

#: Seconds for all jobs to end, killed workers started again included.
PATIENCE = 180.0
PRODUCERS, JOBS = 4, 60


@pytest.fixture(scope="module")
def devices() -> str:
    return "cpu:2"


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    with cluster.client() as client:
        images, labels = digits.digits()
        client.train("digits", "linear", digits.table(images, labels), "label", epochs=1).wait(PATIENCE)
        yield client


@pytest.fixture(scope="module")
def expected(client: Client) -> list[str]:
    """What each of the first images is told to be, by one job of all."""
    found = client.infer("digits:1", digits.digits()[0][:JOBS]).wait(PATIENCE).results()
    return [str(label) for label in found["label"].to_pylist()]


def submit_one_by_one(cluster: Cluster, disturb: Callable[[], None], priority: int) -> list[Job]:
    """One producer; in the middle something happens."""
    jobs = []
    with cluster.client() as producer:
        for place, image in enumerate(digits.digits()[0][:JOBS]):
            jobs.append(producer.infer("digits:1", image[np.newaxis], priority=priority))
            if place == JOBS // 2:
                disturb()
    return jobs


def nothing() -> None:
    """As on other days."""


def kill_child(cluster: Cluster) -> None:
    os.kill(cluster.child_pids()[0], signal.SIGKILL)


def flush(cluster: Cluster) -> None:
    with redis.Redis.from_url(cluster.settings.redis_url) as connection:
        connection.flushall()


@pytest.mark.parametrize("event", [None, flush, kill_child])
def test_each_job_of_each_producer_is_done_once(
    cluster: Cluster, client: Client, expected: list[str], event: Callable[[Cluster], None] | None
) -> None:
    disturb = nothing if event is None else partial(event, cluster)
    producers = [
        partial(submit_one_by_one, cluster, disturb if not number else nothing, 4 + number % 2)
        for number in range(PRODUCERS)
    ]
    for jobs in together(*producers):
        client.wait([client.job(job.id) for job in jobs], PATIENCE)
        for job, label in zip(jobs, expected, strict=True):
            own = client.job(job.id)
            assert own.state is State.SUCCEEDED
            assert [str(each) for each in own.results()["label"].to_pylist()] == [label]
    cluster.wait_for_workers()


def test_a_job_that_may_wait_runs_with_those_that_come_later(client: Client) -> None:
    image = digits.digits()[0][:1]
    first = client.infer("digits:1", image, max_wait_ms=60_000)
    wait_until(lambda: first.state is State.RUNNING, "the claim of the first")
    # Full, it runs at once: nobody waits for the minute to pass.
    others = client.submit_many([Infer("digits:1", image, {"max_wait_ms": 60_000})] * (GROUP_SHARDS - 1))
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
