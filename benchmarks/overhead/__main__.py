"""What metrics and logs cost: many small jobs on a cluster with them and on one without, in turn.

usage: python -m benchmarks.overhead [--compare both|metrics|logs] [--rounds 40] [--jobs 3000]

Both clusters are up at the same time; one works while the other is idle, in an order that changes with each round.
Metrics are on by ``LONGSHORE_METRICS_PORT``, and are scraped as often as by Prometheus: after each 15 seconds of work.
Logs are on by ``LONGSHORE_LOG_LEVEL=info``, the default, and off by ``warning``: attempts have no log of their own
then. The CPU time is that of the relay and the workers, which other processes of the machine disturb less than the wall
clock.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.cluster import TIMEOUT_S, running_cluster, train_mlp
from longshore.broker.embedded.report import read_status
from longshore.broker.logs import LEVEL_VARIABLE
from longshore.broker.monitoring.address import DEFAULT_ADDRESS, PORT_VARIABLE, MetricsAddress
from longshore.producers import Client, Infer
from longshore.shared.errors import InvalidInput

ROW = np.full((1, 784), 0.5, np.float32)
PROCESSES = ("relay", "workers")
#: The default of Prometheus' documentation.
SCRAPE_INTERVAL_S = 15.0


@dataclass(frozen=True)
class Cost:
    """The cost of a job, in seconds."""

    wall: float
    cpu: float


class Side:
    """One of the two clusters.

    :param ports: where its metrics are.
    """

    def __init__(self, client: Client, ports: Sequence[int]) -> None:
        self._client = client
        self._ports = ports
        self._since_scrape_s = 0.0

    def run(self, jobs: int) -> Cost:
        """Run so many jobs of one row."""
        processes = self._processes()
        cpu, start = sum(map(cpu_seconds, processes)), time.perf_counter()
        self._client.wait(self._client.submit_many([Infer("mlp:1", ROW)] * jobs), TIMEOUT_S)
        if self._since_scrape_s > SCRAPE_INTERVAL_S:
            self._since_scrape_s = 0.0
            for port in self._ports:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read()
        wall = time.perf_counter() - start
        self._since_scrape_s += wall
        return Cost(wall / jobs, (sum(map(cpu_seconds, processes)) - cpu) / jobs)

    def _processes(self) -> list[psutil.Process]:
        assert self._client.settings.home is not None
        roots = [each.pid for each in read_status(self._client.settings.home).processes if each.name in PROCESSES]
        parents = [psutil.Process(pid) for pid in roots if pid is not None]
        return [*parents, *(child for parent in parents for child in parent.children(recursive=True))]


def cpu_seconds(process: psutil.Process) -> float:
    """Of user and system."""
    times = process.cpu_times()
    return times.user + times.system


@contextmanager
def side(variables: Mapping[str, str]) -> Iterator[Side]:
    """A cluster with these variables in its environment, and a version to run."""
    os.environ.update(variables)
    try:
        with running_cluster(devices="cpu") as client:
            for name in variables:
                del os.environ[name]
            train_mlp(client, "mlp", 784, 256, 10)
            first = int(variables.get(PORT_VARIABLE, 0))
            yield Side(client, (first, first + 1) if first else ())
    finally:
        for name in variables:
            os.environ.pop(name, None)


def free_ports() -> int:
    """The first of two ports in turn that nobody listens on, below those that Linux gives to connections."""
    for port in range(21_000, 32_000, 2):
        address = MetricsAddress(DEFAULT_ADDRESS, port)
        try:
            address.check_free()
            address.of_worker(0).check_free()
        except InvalidInput:
            continue
        return port
    raise AssertionError("no two free ports")


def report(without: Sequence[Cost], with_: Sequence[Cost], what: str, jobs: int) -> Table:
    """The medians of both sides, and the median of the ratios of the rounds with its quartiles."""
    table = Table(title=f"{len(with_)} rounds of {jobs:,} jobs of one row; {what} on and off")
    for header in ("per job", "off", "on", "ratio", "half of the rounds", "all of the rounds"):
        table.add_column(header, justify="left" if header == "per job" else "right", no_wrap=True)
    for name, of in (("CPU time of worker and relay", "cpu"), ("wall clock", "wall")):
        off, on = ([1e6 * getattr(cost, of) for cost in side] for side in (without, with_))
        ratios = [one / other for one, other in zip(on, off, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        table.add_row(
            *(name, f"{statistics.median(off):,.0f} µs", f"{statistics.median(on):,.0f} µs", f"{middle:.3f}"),
            *(f"{low:.3f} to {high:.3f}", f"{sum(on) / sum(off):.3f}"),
        )
    return table


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", choices=["both", "metrics", "logs"], default="both")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=3000)
    options = parser.parse_args()
    on, off = {}, {}
    if options.compare != "logs":
        on[PORT_VARIABLE] = str(free_ports())
    if options.compare != "metrics":
        on[LEVEL_VARIABLE], off[LEVEL_VARIABLE] = "info", "warning"
    with side(off) as without, side(on) as with_:
        costs: dict[Side, list[Cost]] = {without: [], with_: []}
        for each in costs:
            each.run(options.jobs)
        for number in range(options.rounds):
            for each in (without, with_) if number % 2 else (with_, without):
                costs[each].append(each.run(options.jobs))
    what = "metrics and logs" if options.compare == "both" else options.compare
    Console(width=120).print(report(costs[without], costs[with_], what, options.jobs))


if __name__ == "__main__":
    main()
