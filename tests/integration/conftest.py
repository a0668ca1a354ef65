"""Real services for every test here: one Redis and one Postgres for each process of the test run, emptied between
tests.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from celery import Celery

from longshore.broker import embedded
from longshore.broker.app import make_app
from longshore.producers import Client
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Process, Settings, load_settings
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.cluster_pool import SHARED_DEVICES, SHARED_ENVIRONMENT, ClusterPool
from tests.integration.homes import make_reachable_folder
from tests.integration.support import empty_database, empty_tables, skip_syncs
from tests.waiting import TIMEOUT_S


@pytest.fixture(scope="session")
def services() -> Iterator[Settings]:
    """A Redis and a migrated Postgres, and nothing that works on them."""
    folder = make_reachable_folder()
    with kept(folder):
        embedded.up(folder / "home", detach=True, services=())
        # As an administrator: the tests make databases.
        settings = load_settings(home=folder / "home", producer="tests", environ={}, process=Process.OWNER)
        skip_syncs(settings.database_url)
        yield settings


@pytest.fixture
def ledger(services: Settings) -> Iterator[Ledger]:
    """A ledger with nothing in it."""
    empty_tables(services.database_url)
    with Ledger(services.database_url, "longshore tests") as ledger:
        yield ledger


@pytest.fixture
def app(services: Settings) -> Iterator[Celery]:
    """The Celery app, with nothing queued."""
    with redis.Redis.from_url(services.redis_url) as client:
        client.flushdb()
    app = make_app(services)
    yield app
    app.close()


@pytest.fixture
def fresh(services: Settings) -> Iterator[Settings]:
    """A database of its own, without tables."""
    with empty_database(services) as settings:
        yield settings


@pytest.fixture(scope="module")
def devices() -> str:
    """The devices of :func:`cluster`. A module can have its own, and then has a cluster of its own."""
    return SHARED_DEVICES


@pytest.fixture(scope="module")
def worker_environment() -> Mapping[str, str]:
    """Variables of the processes of :func:`cluster`, besides the addresses.

    A module can have its own, and then has a cluster of its own.
    """
    return SHARED_ENVIRONMENT


@pytest.fixture(scope="session")
def cluster_pool(services: Settings) -> Iterator[ClusterPool]:
    """The clusters of this process of the test run."""
    assert services.home is not None
    folder = services.home.parent / "clusters"
    folder.mkdir(exist_ok=True)
    pool = ClusterPool(services, folder)
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture(scope="module")
def cluster(cluster_pool: ClusterPool, devices: str, worker_environment: Mapping[str, str]) -> Iterator[Cluster]:
    """A relay and workers at work, with an empty database, Redis database and store."""
    cluster = cluster_pool.acquire(devices, worker_environment)
    try:
        yield cluster
    finally:
        cluster_pool.release(cluster)


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    """A producer of :func:`cluster`. A module can have its own, which makes versions first."""
    with cluster.client() as client:
        yield client


@pytest.fixture(scope="module")
def digits_version(client: Client) -> None:
    """``digits:1`` on :func:`cluster`, by the quickest training."""
    images, labels = digits.digits()
    client.train("digits", "linear", digits.table(images, labels), "label", epochs=1).wait(TIMEOUT_S)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the cluster with the test that failed on it."""
    report = yield
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(cluster, Cluster):
        report.sections.extend((f"log of {name}", cluster.log(name)) for name in ("relay", "workers", "other workers"))
    return report


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Have a process look after ``folder`` that outlives this one, should this one be killed."""
    command = [sys.executable, "-P", str(Path(__file__).with_name("keeper.py")), str(folder)]
    # A session of its own: a Ctrl-C on the terminal is for the tests alone.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as keeper:
        yield
    assert keeper.returncode == 0, "the services were not stopped"
