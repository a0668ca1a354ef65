"""Submitting jobs against calling Celery's ``apply_async`` in a loop.

usage: python -m benchmarks.throughput [--rounds 5] [--jobs 10000]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from celery import Celery

from benchmarks.cluster import running_cluster, train_mlp
from benchmarks.report import SpeedComparison, in_turn, show
from longshore.producers import Infer

#: Timed calls of ``apply_async``: it is slow, and each call costs the same.
CALLS = 2000


def submission(rounds: int, jobs: int) -> SpeedComparison:
    """Compare one-row jobs, durable in Postgres and published, with messages in Redis that contain the row."""
    with running_cluster() as client:
        train_mlp(client, "wide", 8, 16, 3)
        home = client.settings.home
        assert home is not None
        app = Celery("by-hand", broker=client.settings.redis_url)
        app.conf.update(task_ignore_result=True, task_serializer="msgpack", task_default_queue="by-hand")

        def infer(number: int, row: list[float]) -> None:
            """Never runs: only submission is measured."""

        task = app.task(name="by-hand.infer")(infer)
        row = [0.5] * 8

        def by_hand() -> float:
            start = time.perf_counter()
            for number in range(CALLS):
                task.apply_async((number, row))
            return CALLS / (time.perf_counter() - start)

        # No worker takes from this queue or from that of the other side: only submission is measured.
        request = Infer("wide:1", np.full((1, 8), 0.5, np.float32), {"device": "gpu"})
        requests = [request] * jobs

        def ours() -> float:
            start = time.perf_counter()
            client.submit_many(requests)
            return jobs / (time.perf_counter() - start)

        rates = in_turn(rounds, ours, by_hand)
        app.close()
    return SpeedComparison(f"submit {jobs:,} one-row jobs", "jobs", *rates, "apply_async in a loop", 10.0)


def main() -> None:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=10_000)
    options = parser.parse_args()
    show([submission(options.rounds, options.jobs)])


if __name__ == "__main__":
    main()
