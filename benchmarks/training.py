"""Training on a warm worker against a bare PyTorch loop and against Lightning, and the cost of checkpoints.

usage: python -m benchmarks.training [--only mlp,cnn,checkpoints] [--rounds 3] [--epochs 6] [--lightning-python PATH]

Rows per second of all epochs but the first, from the times at which the epochs were reported. The bare loop and
Lightning are measured likewise, in a process of their own with as many threads. Lightning has its own environment:
python3.11 -m venv lightning && lightning/bin/pip install lightning torch==2.13.0
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.cluster import TIMEOUT_S, float_rows, running_cluster
from benchmarks.report import SpeedComparison, in_turn, show
from longshore.producers import Client
from longshore.producers.options.keywords import Json, TrainOptions

#: The folder from which ``benchmarks`` can be imported.
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class TrainingCase:
    """One model to train."""

    name: str
    family: str
    rows: int
    width: int
    batch: int
    config: dict[str, Json] = field(default_factory=dict)


CASES = {
    "mlp": TrainingCase("mlp", "mlp", 60_000, 784, 128, {"hidden": [256]}),
    "cnn": TrainingCase("cnn", "cnn", 10_000, 3 * 32 * 32, 64, {"input_shape": [3, 32, 32]}),
}


def write(case: TrainingCase, folder: Path) -> Path:
    """Write the rows of a case: random numbers in [0, 1), and ten classes. Returns the path."""
    path = folder / f"{case.name}.parquet"
    labels = np.random.default_rng(1).integers(0, 10, case.rows)
    pq.write_table(pa.table({"x": float_rows(case.rows, case.width), "y": labels}), path)
    return path


def ours(client: Client, case: TrainingCase, path: Path, epochs: int, options: TrainOptions | None = None) -> float:
    """Rows per second of Longshore."""
    all_options: TrainOptions = {
        "epochs": epochs,
        "batch_size": case.batch,
        "validation": 0.0,
        "standardize": False,
        "config": case.config,
        **(options or {}),
    }
    job = client.train(case.name, case.family, path, "y", **all_options)
    job.wait(TIMEOUT_S, progress=False)
    ends = [metric.recorded_at for metric in job.metrics() if metric.name == "train_loss"]
    return (epochs - 1) * case.rows / (ends[-1] - ends[0]).total_seconds()


def theirs(python: str, case: TrainingCase, runner: str, epochs: int) -> float:
    """Rows per second of ``bare`` or ``lightning``."""
    command = [python, "-m", "benchmarks.sides.training", case.name, runner, str(epochs)]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()[-1])


def compared(
    client: Client, case: TrainingCase, path: Path, python: str, runner: str, rounds: int, epochs: int
) -> SpeedComparison:
    """Compare both sides in turn."""

    def one() -> float:
        return ours(client, case, path, epochs)

    def other() -> float:
        return theirs(python, case, runner, epochs)

    target = 0.95 if runner == "bare" else 1.0
    return SpeedComparison(
        f"train {case.name}, batch {case.batch}", "rows", *in_turn(rounds, one, other), runner, target
    )


def checkpoints(client: Client, path: Path, rounds: int, epochs: int) -> SpeedComparison:
    """Compare the mlp with a checkpoint every 10 s and without checkpoints."""

    def every(seconds: float | None) -> Callable[[], float]:
        return lambda: ours(client, CASES["mlp"], path, epochs, {"checkpoint_seconds": seconds})

    return SpeedComparison(
        "train mlp, checkpoint every 10 s", "rows", *in_turn(rounds, every(10.0), every(None)), "no checkpoints", 0.97
    )


def main() -> None:
    """Run the chosen comparisons and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="mlp,cnn,checkpoints")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument(
        "--checkpoint-epochs",
        type=int,
        default=40,
        help="enough for several checkpoints",
    )
    parser.add_argument("--lightning-python", help="the Python of an environment that has Lightning")
    options = parser.parse_args()
    names = options.only.split(",")
    comparisons = []
    with tempfile.TemporaryDirectory(prefix="longshore-benchmark-") as name, running_cluster() as client:
        folder = Path(name)
        for case in (CASES[each] for each in names if each in CASES):
            path = write(case, folder)
            comparisons.append(compared(client, case, path, sys.executable, "bare", options.rounds, options.epochs))
            if options.lightning_python:
                comparisons.append(
                    compared(client, case, path, options.lightning_python, "lightning", options.rounds, options.epochs)
                )
        if "checkpoints" in names:
            path = write(CASES["mlp"], folder)
            comparisons.append(checkpoints(client, path, options.rounds, options.checkpoint_epochs))
    show(comparisons)


if __name__ == "__main__":
    main()
