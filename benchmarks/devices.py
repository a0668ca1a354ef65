"""One training on two devices of a warm CPU worker, a core each, against one device with as many threads as cores.

usage: python -m benchmarks.devices [--only mlp,cnn] [--rounds 3] [--epochs 6] [--batch ROWS] [--devices 2]
       [--strategy ddp|fsdp]

Rows a second of all epochs but the first, from the times at which the epochs were reported; both have the same global
batch.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.cluster import running_cluster
from benchmarks.report import Comparison, in_turn, show
from benchmarks.training import WORKS, Work, ours, write
from longshore.producers import Client


def compared(client: Client, work: Work, path: Path, rounds: int, epochs: int, **options: object) -> Comparison:
    """Several devices and one, in turn."""

    def several() -> float:
        return ours(client, work, path, epochs, **options)

    def one() -> float:
        return ours(client, work, path, epochs)

    what = f"train {work.name}, batch {work.batch}, {options['devices']} devices, {options['strategy']}"
    return Comparison(what, "rows", *in_turn(rounds, several, one), "one device", 1.0)


def main() -> None:
    """Compare, and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(WORKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--strategy", default="ddp")
    asked = parser.parse_args()
    spread = {"devices": asked.devices, "strategy": asked.strategy}
    with tempfile.TemporaryDirectory() as name, running_cluster() as client:
        for each in asked.only.split(","):
            work = replace(WORKS[each], batch=asked.batch or WORKS[each].batch)
            show([compared(client, work, write(work, Path(name)), asked.rounds, asked.epochs, **spread)])


if __name__ == "__main__":
    main()
