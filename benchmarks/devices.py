"""Training on two devices of a warm CPU worker, one core each, against one device with as many threads as cores.

usage: python -m benchmarks.devices [--only mlp,cnn] [--rounds 3] [--epochs 6] [--batch ROWS] [--devices 2]
       [--strategy ddp|fsdp]

Rows per second of all epochs but the first, from the times at which the epochs were reported. Both sides have the same
global batch.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.cluster import running_cluster
from benchmarks.report import SpeedComparison, in_turn, show
from benchmarks.training import CASES, TrainingCase, ours, write
from longshore.producers import Client
from longshore.producers.options.keywords import TrainOptions


def compared(
    client: Client, case: TrainingCase, path: Path, rounds: int, epochs: int, spread: TrainOptions
) -> SpeedComparison:
    """Compare several devices with one, in turn."""

    def several() -> float:
        return ours(client, case, path, epochs, spread)

    def one() -> float:
        return ours(client, case, path, epochs)

    what = f"train {case.name}, batch {case.batch}, {spread['devices']} devices, {spread['strategy']}"
    return SpeedComparison(what, "rows", *in_turn(rounds, several, one), "one device", 1.0)


def main() -> None:
    """Run the comparisons and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--strategy", default="ddp")
    options = parser.parse_args()
    spread: TrainOptions = {"devices": options.devices, "strategy": options.strategy}
    with tempfile.TemporaryDirectory() as name, running_cluster() as client:
        for each in options.only.split(","):
            case = replace(CASES[each], batch=options.batch or CASES[each].batch)
            show([compared(client, case, write(case, Path(name)), options.rounds, options.epochs, spread)])


if __name__ == "__main__":
    main()
