"""A search on two workers of one core each, against the same search on one worker of one core.

usage: python -m benchmarks.tuning [--trials 16] [--rounds 3] [--epochs 6]

On both sides, Redis, Postgres and the relay may use every core. Both searches try the same parameters: the sampler is
random with a fixed seed. The workers have started and trained once before the time starts.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from benchmarks.cluster import TIMEOUT_S, float_rows, running_cluster
from benchmarks.report import SpeedComparison, show
from longshore.broker.embedded.plan import RELAY, Service
from longshore.producers import Client
from longshore.producers.options.keywords import SearchSpace, TuneOptions

WIDTH, CLASSES, ROWS = 64, 10, 20_000
WORKERS_COMMAND = ("longshore.producers.cli.main", "worker")
#: The largest time of two workers, as a fraction of the time of one.
TARGET_TIME_RATIO = 0.6


@contextmanager
def workers(client: Client, count: int) -> Iterator[None]:
    """Run ``count`` workers of one core each."""
    cores = os.sched_getaffinity(0)
    command = [sys.executable, "-P", "-m", *WORKERS_COMMAND, "--devices", f"cpu:{count}"]
    environment = {**os.environ, **client.settings.environment()}
    # The workers inherit the affinity and divide the cores among them.
    os.sched_setaffinity(0, sorted(cores)[:count])
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.sched_setaffinity(0, cores)
    try:
        wait_for(client, count)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        wait_for(client, 0)


def wait_for(client: Client, count: int) -> None:
    """Wait until ``count`` workers are alive."""
    from longshore.shared.ledger.ledger import Ledger

    deadline = time.monotonic() + TIMEOUT_S
    with Ledger(client.settings.database_url) as ledger:
        while sum(worker.alive for worker in ledger.workers.workers()) != count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{count} workers did not start")
            time.sleep(0.1)


def search(client: Client, trials: int, epochs: int) -> float:
    """Run a search. Returns trials per second."""
    labels = np.arange(ROWS) % CLASSES
    table = pa.table({"x": float_rows(ROWS, WIDTH), "y": labels})
    space: SearchSpace = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    options: TuneOptions = {"trials": trials, "sampler": "random", "epochs": epochs, "config": {"hidden": [256]}}
    start = time.perf_counter()
    client.tune("searched", "mlp", table, "y", space, **options).wait(TIMEOUT_S, progress=False)
    return trials / (time.perf_counter() - start)


def measure(count: int, trials: int, epochs: int) -> float:
    """Trials per second with ``count`` workers."""
    with running_cluster(services=(Service(name="relay", argv=RELAY),)) as client, workers(client, count):
        search(client, count, 1)
        return search(client, trials, epochs)


def main() -> None:
    """Run both sides in turn, and print the ratio of their times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    one: list[float] = []
    two: list[float] = []
    for _ in range(options.rounds):
        one.append(measure(1, options.trials, options.epochs))
        two.append(measure(2, options.trials, options.epochs))
    comparison = SpeedComparison(
        f"tune, {options.trials} trials, two workers", "trials", two, one, "one worker", 1 / TARGET_TIME_RATIO
    )
    show([comparison])
    print(f"two workers took {1 / comparison.ratio:.2f} of the time of one; target: under {TARGET_TIME_RATIO}")


if __name__ == "__main__":
    main()
