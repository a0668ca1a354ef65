"""Peak memory of a worker over a small and a large job of the same rows of 8 numbers.

usage: python -m benchmarks.memory [--rows 100000,10000000]

Each job runs in a cluster of its own, so that one cannot leave memory to the other.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import psutil

from benchmarks.cluster import PATIENCE, running_cluster, train_mlp
from benchmarks.inference import write_rows
from longshore.producers import Client
from longshore.shared.ledger.ledger import Ledger

WIDTH = 8
#: More than this between the two would mean that memory grows with the job, in MiB.
ALLOWED = 150


def peak(rows: int) -> float:
    """MiB that the process which computes had at most, resident."""
    folder = Path(tempfile.mkdtemp(prefix="longshore-benchmark-", dir="/tmp"))
    try:
        source = folder / "rows.parquet"
        write_rows(source, rows, WIDTH)
        with running_cluster() as client:
            train_mlp(client, "small", WIDTH, 64, 10)
            client.infer("small:1", source).wait(PATIENCE, progress=False)
            return max(_high_water(process) for process in _children(client)) / 1024
    finally:
        shutil.rmtree(folder)


def _children(client: Client) -> list[psutil.Process]:
    with Ledger(client.settings.database_url) as ledger:
        parents = [worker.pid for worker in ledger.workers.workers()]
    return [child for pid in parents for child in psutil.Process(pid).children(recursive=True)]


def _high_water(process: psutil.Process) -> int:
    """KiB; 0 for a process without memory of its own."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def main() -> None:
    """Run both and print the difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="100000,10000000")
    sizes = [int(rows) for rows in parser.parse_args().rows.split(",")]
    found = [peak(rows) for rows in sizes]
    for rows, mib in zip(sizes, found, strict=True):
        print(f"{rows:>12,} rows: {mib:,.0f} MiB at most")
    print(f"difference: {max(found) - min(found):,.0f} MiB; allowed: {ALLOWED} MiB")


if __name__ == "__main__":
    main()
