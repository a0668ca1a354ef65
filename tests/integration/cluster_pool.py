"""Clusters for test modules, of which the usual one is shared."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis

from longshore.broker.app import make_app
from longshore.broker.webhooks.settings import HTTP_VARIABLE, NETWORKS_VARIABLE
from longshore.shared.settings import Settings
from tests.integration.cluster import Cluster
from tests.integration.logins import make_logins
from tests.integration.support import empty_tables, migrated_database
from tests.waiting import wait_until

#: The devices and the variables of the cluster that is shared. A short lease, in seconds: what a killed worker ran is
#: soon free; not so short that a busy machine lets one run out. Webhooks may lead to this machine.
LOCAL_WEBHOOKS: Mapping[str, str] = {NETWORKS_VARIABLE: "127.0.0.1", HTTP_VARIABLE: "1"}
SHARED_DEVICES = "cpu"
SHARED_ENVIRONMENT: Mapping[str, str] = {"LONGSHORE_LEASE": "5", **LOCAL_WEBHOOKS}
#: The Redis databases of the shared cluster and of another one. The tests without a cluster use database 0.
SHARED_REDIS, OTHER_REDIS = 1, 2
#: Seconds the workers get to end what they run when a module has ended.
IDLE_TIMEOUT_S = 10.0


class ClusterPool:
    """Starts clusters, and lends one of them to module after module.

    Modules that take the usual devices and variables share one cluster. Each finds it empty: no rows, no messages, no
    files in the store. A cluster is not lent again if a test has killed a process of it, or not started again what it
    has stopped (see :attr:`Cluster.disturbed`), or if a module has left it work to do.

    :param services: the Redis and the Postgres that all clusters use.
    :param folder: for the stores and the logs.
    """

    def __init__(self, services: Settings, folder: Path) -> None:
        self._services = services
        self._folder = folder
        self._shared: _Entry | None = None
        self._other: _Entry | None = None

    def acquire(self, devices: str, environment: Mapping[str, str]) -> Cluster:
        """An empty cluster with a relay and workers at work."""
        if (devices, environment) == (SHARED_DEVICES, SHARED_ENVIRONMENT):
            if self._shared is None:
                self._shared = _Entry(self._services, self._folder, SHARED_REDIS, devices, environment)
            cluster = self._shared.cluster
            cluster.begin()
            return cluster
        assert self._other is None, "the module before has not returned its cluster"
        self._other = _Entry(self._services, self._folder, OTHER_REDIS, devices, environment)
        return self._other.cluster

    def release(self, cluster: Cluster) -> None:
        """Take a cluster back, and empty or stop it.

        :raises AssertionError: a process of a cluster that was to stop is still there.
        """
        if self._shared is not None and cluster is self._shared.cluster:
            entry, self._shared = self._shared, None
            if cluster.disturbed or not entry.is_idle():
                entry.close()
            else:
                entry.empty()
                self._shared = entry
        elif self._other is not None:
            entry, self._other = self._other, None
            entry.close()

    def close(self) -> None:
        """Stop every cluster.

        :raises AssertionError: a process of it is still there.
        """
        with ExitStack() as stack:
            for entry in (self._shared, self._other):
                if entry is not None:
                    stack.callback(entry.close)


class _Entry:
    """One cluster, with a database, a Redis database and a store of its own."""

    def __init__(
        self, services: Settings, folder: Path, redis_database: int, devices: str, environment: Mapping[str, str]
    ) -> None:
        with ExitStack() as stack:
            settings = stack.enter_context(migrated_database(services))
            own = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
            redis_url = urlsplit(services.redis_url)._replace(path=f"/{redis_database}").geturl()
            with redis.Redis.from_url(redis_url) as client:
                client.flushdb()
            settings = replace(settings, redis_url=redis_url, store=f"file://{own}/store", home=None)
            make_logins(settings.database_url)
            self.cluster = Cluster(settings, own, devices, environment)
            stack.callback(self.cluster.close)
            self.cluster.start_relay()
            self.cluster.start_workers()
            self._stack = stack.pop_all()

    def is_idle(self) -> bool:
        """Whether every job is final, and no worker runs a task any more."""
        settings = self.cluster.settings
        with psycopg.connect(settings.database_url) as connection:
            unfinished = connection.execute(
                "SELECT FROM jobs WHERE state NOT IN ('succeeded', 'failed', 'cancelled') LIMIT 1"
            ).rowcount
        if unfinished:
            return False
        app = make_app(settings)
        # A connection of its own: a test may have ended the pooled ones.
        connection = app.connection_for_write()
        try:
            # A worker still ends what it ran of a job that was cancelled.
            inspect = app.control.inspect(timeout=5, limit=1, connection=connection)
            wait_until(
                lambda: not any((inspect.active() or {"no answer": ["unknown"]}).values()),
                "the end of the workers' tasks",
                IDLE_TIMEOUT_S,
            )
        except AssertionError:
            return False
        finally:
            connection.release()
            app.close()
        return True

    def empty(self) -> None:
        """Remove the rows, the messages and the files. The workers stay known."""
        settings = self.cluster.settings
        empty_tables(settings.database_url, keep=("workers",))
        with redis.Redis.from_url(settings.redis_url) as client:
            # Those that begin with an underscore say which queues the workers take from.
            messages = [key for key in client.scan_iter() if not key.startswith((b"_kombu", b"unacked"))]
            if messages:
                client.delete(*messages)
        # The mark stays: without it, the workers would take the store for one whose file server is away.
        for folder in (self.cluster.folder / "store").glob("*/"):
            shutil.rmtree(folder)

    def close(self) -> None:
        self._stack.close()
