"""A cluster for the length of one benchmark, and versions to run on it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from longshore.broker import embedded
from longshore.broker.embedded.plan import Service
from longshore.producers import Client

#: Seconds for a worker to be there, or a job to end.
PATIENCE = 600.0


@contextmanager
def running_cluster(
    *, workers: bool = True, devices: str = "cpu", services: Sequence[Service] | None = None
) -> Iterator[Client]:
    """An embedded cluster in a folder of its own, without Flower.

    :param workers: ``False`` runs Redis and Postgres alone.
    :param services: runs these besides Redis and Postgres, and waits for none.
    """
    # Not in TMPDIR: run by root, Postgres is another user, who must be able to reach it.
    folder = Path(tempfile.mkdtemp(prefix="longshore-benchmark-", dir="/tmp"))
    folder.chmod(0o711)
    home = folder / "home"
    try:
        started = services if services is not None else None if workers else ()
        embedded.up(home, devices=devices, flower=False, detach=True, services=started)
        with Client(home=home) as client:
            if workers and services is None:
                wait_for_worker(client)
            yield client
    finally:
        embedded.down(home)
        shutil.rmtree(folder)


def wait_for_worker(client: Client) -> None:
    """Until one takes messages."""
    from longshore.shared.ledger.ledger import Ledger

    deadline = time.monotonic() + PATIENCE
    with Ledger(client.settings.database_url) as ledger:
        while not any(worker.alive for worker in ledger.workers.workers()):
            if time.monotonic() > deadline:
                raise TimeoutError("no worker came")
            time.sleep(0.1)


def float_rows(rows: int, width: int, seed: int = 0) -> pa.FixedSizeListArray:
    """Random float32 in [0, 1), shape (rows, width)."""
    numbers = np.random.default_rng(seed).random(rows * width, dtype=np.float32)
    return pa.FixedSizeListArray.from_arrays(numbers, width)


def train_mlp(client: Client, name: str, width: int, hidden: int, classes: int) -> None:
    """Make ``name:1``, a width-hidden-classes ``mlp`` on raw rows. What it learns does not matter here."""
    labels = np.arange(20 * classes) % classes
    table = pa.table({"x": float_rows(len(labels), width), "y": labels})
    options = {"epochs": 1, "standardize": False, "config": {"hidden": [hidden]}}
    client.train(name, "mlp", table, "y", **options).wait(PATIENCE, progress=False)
