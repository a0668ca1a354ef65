"""A cluster for one benchmark, and model versions to run on it."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

from longshore.broker import embedded
from longshore.broker.embedded.plan import Service
from longshore.producers import Client
from longshore.producers.options.keywords import TrainOptions
from longshore.shared.settings import Process, load_settings

#: Seconds for a worker to start, or a job to end.
TIMEOUT_S = 600.0


@contextmanager
def running_cluster(
    *, workers: bool = True, devices: str = "cpu", services: Sequence[Service] | None = None
) -> Iterator[Client]:
    """An embedded cluster in a temporary folder, without Flower.

    :param workers: ``False`` runs only Redis and Postgres.
    :param services: the services to run besides Redis and Postgres. The function does not wait for them.

    SIGTERM, as ``timeout`` sends it, ends the program as an exception does, so that the cluster is stopped.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # Not in TMPDIR: for root, Postgres runs as another user, who must be able to reach the folder.
    folder = Path(tempfile.mkdtemp(prefix="longshore-benchmark-", dir="/tmp"))
    folder.chmod(0o711)
    home = folder / "home"
    try:
        started = services if services is not None else None if workers else ()
        embedded.up(home, devices=devices, flower=False, gateway=False, detach=True, services=started)
        with Client(home=home) as client:
            if workers and services is None:
                wait_for_worker(client)
            yield client
    finally:
        embedded.down(home)
        shutil.rmtree(folder)


def owner_url(client: Client) -> str:
    """The address of Postgres for who makes tables in it: the login of a client may not."""
    return load_settings(home=client.settings.home, environ={}, process=Process.OWNER).database_url


def wait_for_worker(client: Client) -> None:
    """Wait until a worker is ready."""
    from longshore.shared.ledger.ledger import Ledger

    deadline = time.monotonic() + TIMEOUT_S
    with Ledger(client.settings.database_url) as ledger:
        while not any(worker.alive for worker in ledger.workers.workers()):
            if time.monotonic() > deadline:
                raise TimeoutError("no worker started")
            time.sleep(0.1)


def kill_children(client: Client) -> None:
    """Kill the process of each worker that computes."""
    killed = 0
    for worker in client.ledger.workers.workers():
        for child in psutil.Process(worker.pid).children() if worker.alive else ():
            # Celery may have given it another command line, but not to the process that tracks its semaphores.
            if not any("semaphore_tracker" in part for part in child.cmdline()):
                child.kill()
                killed += 1
    assert killed, "no process computes"


def float_rows(rows: int, width: int, seed: int = 0) -> pa.FixedSizeListArray:
    """Random float32 in [0, 1), shape (rows, width)."""
    numbers = np.random.default_rng(seed).random(rows * width, dtype=np.float32)
    return pa.FixedSizeListArray.from_arrays(numbers, width)


def train_mlp(client: Client, name: str, width: int, hidden: int, classes: int) -> None:
    """Train ``name:1``, an ``mlp`` of sizes width-hidden-classes on raw rows. Its accuracy does not matter here."""
    labels = np.arange(20 * classes) % classes
    table = pa.table({"x": float_rows(len(labels), width), "y": labels})
    options: TrainOptions = {"epochs": 1, "standardize": False, "config": {"hidden": [hidden]}}
    client.train(name, "mlp", table, "y", **options).wait(TIMEOUT_S, progress=False)
