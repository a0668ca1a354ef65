"""Ten thousand jobs of one row against hand-written Celery tasks, and the latency of a single job.

usage: python -m benchmarks.small_jobs [--rounds 3] [--jobs 10000] [--tasks 2000] [--only together|crowd|single]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import numpy as np

from benchmarks.by_hand import ByHand, by_hand, send
from benchmarks.cluster import TIMEOUT_S, running_cluster, train_mlp
from benchmarks.crowd import crowd
from benchmarks.report import SpeedComparison, in_turn, show
from longshore.producers import Client, Infer

#: Processes that submit at the same time.
MEMBERS = 8
ROW = np.full((1, 784), 0.5, np.float32)


def together(client: Client, theirs: ByHand, rounds: int, jobs: int, tasks: int) -> SpeedComparison:
    """Compare one ``submit_many`` with one process that sends tasks."""
    requests = [Infer("mlp:1", ROW)] * jobs

    def ours() -> float:
        start = time.perf_counter()
        client.wait(client.submit_many(requests), TIMEOUT_S)
        return jobs / (time.perf_counter() - start)

    rates = in_turn(rounds, ours, lambda: theirs.alone(tasks))
    return SpeedComparison(f"{jobs:,} jobs of one row at once", "jobs", *rates, "one Celery task and INSERT each", 10.0)


def one_by_one(client: Client, theirs: ByHand, rounds: int, jobs: int, tasks: int) -> SpeedComparison:
    """Compare eight processes that call ``infer`` for each row with eight that call ``apply_async``."""
    each, each_task = jobs // MEMBERS, tasks // MEMBERS

    def ours() -> float:
        with crowd(MEMBERS, submit_each, client.settings.home, each) as members:
            start = members.start()
            job_ids = [id_ for ids in members.answers() if isinstance(ids, list) for id_ in ids]
            client.wait([client.job(id_) for id_ in job_ids[-1:]], TIMEOUT_S)
            wait_for_all(client, job_ids)
            return len(job_ids) / (time.perf_counter() - start)

    def by_apply_async() -> float:
        with crowd(MEMBERS, send_each, client.settings.redis_url, each_task) as members:
            return theirs.crowded(members, each_task * MEMBERS)

    work = f"{each * MEMBERS:,} jobs of one row, {MEMBERS} processes"
    return SpeedComparison(work, "jobs", *in_turn(rounds, ours, by_apply_async), "apply_async and INSERT each", 3.0)


def wait_for_all(client: Client, ids: list[UUID]) -> None:
    """Wait until all jobs have ended."""
    from longshore.producers.waiting import wait_all
    from longshore.shared.ledger.ledger import Ledger

    with Ledger(client.settings.database_url) as ledger:
        wait_all(ledger, ids, TIMEOUT_S)


def submit_each(begin: Callable[[], object], home: Path, jobs: int) -> list[UUID]:
    """What a process of Longshore's side does."""
    with Client(home=home) as client:
        client.infer("mlp:1", ROW).wait(TIMEOUT_S, progress=False)
        begin()
        return [client.infer("mlp:1", ROW).id for _ in range(jobs)]


def send_each(begin: Callable[[], object], redis_url: str, tasks: int) -> None:
    """What a process of the other side does."""
    send(redis_url, tasks, begin)


def single(client: Client, times: int) -> str:
    """The time from the submission of one job to its result, on an idle cluster."""
    times_ms = []
    for _ in range(times):
        start = time.perf_counter()
        job = client.infer("mlp:1", ROW).wait(TIMEOUT_S, progress=False)
        assert job.results().num_rows == 1
        times_ms.append(1000 * (time.perf_counter() - start))
    middle, late = np.percentile(times_ms, [50, 99])
    return (
        f"one job of one row, {times} in turn: p50 {middle:.1f} ms (target: <= 30), p99 {late:.1f} ms (target: <= 100)"
    )


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--only", choices=["together", "crowd", "single"])
    options = parser.parse_args()
    sizes = (options.rounds, options.jobs, options.tasks)
    with running_cluster() as client:
        train_mlp(client, "mlp", 784, 256, 10)
        if options.only in (None, "single"):
            single(client, 20)
            print(single(client, 300))
        if options.only == "single":
            return
        with by_hand(client) as theirs:
            measurements = {"together": together, "crowd": one_by_one}
            names = [options.only] if options.only else list(measurements)
            show([measurements[name](client, theirs, *sizes) for name in names])


if __name__ == "__main__":
    main()
