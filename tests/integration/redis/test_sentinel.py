"""A cluster that finds its Redis by a Sentinel goes on after the failover to another."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from longshore.broker.embedded.services.ports import any_free_port
from longshore.producers.cli.checks.check import Level
from longshore.producers.cli.checks.redis import check_redis
from longshore.shared.settings import Settings
from tests.integration import digits
from tests.integration.cluster import cluster_on_redis
from tests.own_redis import OwnRedis, own_program
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.slow

SERVICE = "longshore"


@dataclass
class Watched:
    """Two servers, of which the second follows the first, and a Sentinel."""

    first: OwnRedis
    second: OwnRedis
    port: int

    @property
    def url(self) -> str:
        return f"sentinel://127.0.0.1:{self.port}/{SERVICE}"

    def leader(self) -> int | None:
        """The port of the server that the Sentinel takes for the leading one."""
        with suppress(redis.RedisError), redis.Redis(port=self.port) as client:
            return int(client.sentinel_get_master_addr_by_name(SERVICE)[1])
        return None

    def followers(self) -> int:
        """How many followers the Sentinel knows to be in step: it fails over to no other."""
        with suppress(redis.RedisError), redis.Redis(port=self.port) as client:
            replicas = client.sentinel_slaves(SERVICE)
            return sum(each["master-link-status"] == "ok" for each in replicas)
        return 0


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    folders = [tmp_path / name for name in ("first", "second", "sentinel")]
    for folder in folders:
        folder.mkdir()
    port = any_free_port()
    with OwnRedis(folders[0]) as first, OwnRedis(folders[1], "--replicaof", f"127.0.0.1 {first.port}") as second:
        configuration = folders[2] / "sentinel.conf"
        configuration.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folders[2]}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {first.port} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 1000\n"
            f"sentinel failover-timeout {SERVICE} 5000\n"
        )
        with subprocess.Popen([own_program(), configuration, "--sentinel"], stdout=subprocess.DEVNULL) as sentinel:
            found = Watched(first, second, port)
            try:
                wait_until(lambda: found.followers() == 1, "the Sentinel's news of the follower")
                yield found
            finally:
                sentinel.terminate()


def test_jobs_go_on_after_a_failover(watched: Watched, services: Settings, tmp_path: Path) -> None:
    with cluster_on_redis(services, watched.url, tmp_path) as cluster, cluster.client() as client:
        images, labels = digits.digits()
        client.train("digits", "linear", digits.table(images, labels), "label", epochs=1).wait(TIMEOUT_S)
        assert check_redis(cluster.settings).level is not Level.FAIL
        watched.first.kill()
        # Submitted while no server leads, and again when one does.
        job = client.infer("digits", images[:2])
        wait_until(lambda: watched.leader() == watched.second.port, "the failover")
        client.wait([job, client.infer("digits", images[2:4])], TIMEOUT_S)
        assert job.results().num_rows == 2
