"""Peak memory of a worker during a small and a large job, with rows of 8 numbers.

usage: python -m benchmarks.memory [--rows 100000,10000000]

Each job runs in a cluster of its own, so that memory of one does not count for the other.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import psutil

from benchmarks.cluster import TIMEOUT_S, running_cluster, train_mlp
from benchmarks.inference import write_rows
from longshore.producers import Client
from longshore.shared.ledger.ledger import Ledger

WIDTH = 8
#: The largest allowed difference in MiB; more would mean that memory grows with the job.
MAX_DIFFERENCE_MIB = 150


def peak(rows: int) -> float:
    """The peak resident memory in MiB of the process that computes."""
    folder = Path(tempfile.mkdtemp(prefix="longshore-benchmark-", dir="/tmp"))
    try:
        source = folder / "rows.parquet"
        write_rows(source, rows, WIDTH)
        with running_cluster() as client:
            train_mlp(client, "small", WIDTH, 64, 10)
            client.infer("small:1", source).wait(TIMEOUT_S, progress=False)
            return max(_high_water(process) for process in _children(client)) / 1024
    finally:
        shutil.rmtree(folder)


def _children(client: Client) -> list[psutil.Process]:
    with Ledger(client.settings.database_url) as ledger:
        parents = [worker.pid for worker in ledger.workers.workers()]
    return [child for pid in parents for child in psutil.Process(pid).children(recursive=True)]


def _high_water(process: psutil.Process) -> int:
    """The peak resident memory in KiB; 0 for a kernel thread."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def main() -> None:
    """Run both jobs and print the difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="100000,10000000")
    sizes = [int(rows) for rows in parser.parse_args().rows.split(",")]
    peaks = [peak(rows) for rows in sizes]
    for rows, mib in zip(sizes, peaks, strict=True):
        print(f"{rows:>12,} rows: {mib:,.0f} MiB peak")
    print(f"difference: {max(peaks) - min(peaks):,.0f} MiB; allowed: {MAX_DIFFERENCE_MIB} MiB")


if __name__ == "__main__":
    main()
