"""Flower beside a cluster, as its workers' operators see it."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from longshore.broker.embedded.services.ports import any_free_port
from tests.integration.cluster import Cluster
from tests.waiting import TIMEOUT_S, wait_until

PASSWORD = "for-the-tests-alone"


@dataclass(frozen=True)
class Flower:
    """A Flower that runs beside the cluster."""

    port: int

    def read(self, path: str) -> str:
        """A page, or nothing while it does not answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        request.add_header("Authorization", "Basic " + b64encode(f"longshore:{PASSWORD}".encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return ""


@contextmanager
def running_flower(cluster: Cluster) -> Iterator[Flower]:
    """A Flower that knows the workers of a cluster; stopped at the end."""
    port = any_free_port()
    command = [sys.executable, "-m", "longshore.broker.flower", "--address", "127.0.0.1", "--port", str(port)]
    environment = {**cluster.environment, "LONGSHORE_FLOWER_PASSWORD": PASSWORD}
    with (cluster.folder / "flower.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=cluster.folder, stdout=log, stderr=log)
    try:
        found = Flower(port)
        # It knows the worker when it has heard an event of it: from then on it hears of every task.
        # It is cpu:0.2 if the worker of another cluster in the same Postgres has the first name.
        wait_until(lambda: '"cpu:0' in found.read("/api/workers?status=1"), "Flower's first sight of the worker")
        yield found
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)
