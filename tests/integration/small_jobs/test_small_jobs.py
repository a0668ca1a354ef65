"""Small jobs of many producers on two workers: each is done once, whatever happens to messages and workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import redis

from longshore.producers import Client, Job
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.support import together
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.usefixtures("digits_version")

PRODUCERS, JOBS = 4, 60


@pytest.fixture(scope="module")
def devices() -> str:
    return "cpu:2"


@pytest.fixture(scope="module")
def expected(client: Client) -> list[str]:
    """What each of the first images is told to be, by one job of all."""
    found = client.infer("digits:1", digits.digits()[0][:JOBS]).wait(TIMEOUT_S).results()
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
        client.wait([client.job(job.id) for job in jobs], TIMEOUT_S)
        for job, label in zip(jobs, expected, strict=True):
            own = client.job(job.id)
            assert own.state is State.SUCCEEDED
            assert [str(each) for each in own.results()["label"].to_pylist()] == [label]
    cluster.wait_for_workers()
