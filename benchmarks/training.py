"""Training on a warm worker against a bare PyTorch loop, against Lightning, and what checkpoints cost.

usage: python -m benchmarks.training [--only mlp,cnn,checkpoints] [--rounds 3] [--epochs 6] [--lightning-python PATH]

Rows a second of all epochs but the first, from the times at which the epochs were reported; the bare loop and Lightning
are measured likewise, in a process of their own with as many threads. Lightning is in an environment of its own:
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

from benchmarks.cluster import PATIENCE, float_rows, running_cluster
from benchmarks.report import Comparison, in_turn, show
from longshore.producers import Client

#: The folder from which ``benchmarks`` can be imported.
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Work:
    """What is trained."""

    name: str
    family: str
    rows: int
    width: int
    batch: int
    config: dict[str, object] = field(default_factory=dict)


WORKS = {
    "mlp": Work("mlp", "mlp", 60_000, 784, 128, {"hidden": [256]}),
    "cnn": Work("cnn", "cnn", 10_000, 3 * 32 * 32, 64, {"input_shape": [3, 32, 32]}),
}


def write(work: Work, folder: Path) -> Path:
    """Its rows: random numbers in [0, 1), and ten classes."""
    path = folder / f"{work.name}.parquet"
    labels = np.random.default_rng(1).integers(0, 10, work.rows)
    pq.write_table(pa.table({"x": float_rows(work.rows, work.width), "y": labels}), path)
    return path


def ours(client: Client, work: Work, path: Path, epochs: int, **options: object) -> float:
    """Rows a second."""
    given = {"epochs": epochs, "batch_size": work.batch, "validation": 0, "standardize": False, **options}
    job = client.train(work.name, work.family, path, "y", config=work.config, **given)
    job.wait(PATIENCE, progress=False)
    ends = [metric.recorded_at for metric in job.metrics() if metric.name == "train_loss"]
    return (epochs - 1) * work.rows / (ends[-1] - ends[0]).total_seconds()


def theirs(python: str, work: Work, runner: str, epochs: int) -> float:
    """The same by another program."""
    command = [python, "-m", "benchmarks.training_side", work.name, runner, str(epochs)]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()[-1])


def compared(client: Client, work: Work, path: Path, python: str, runner: str, rounds: int, epochs: int) -> Comparison:
    """Both, in turn."""

    def one() -> float:
        return ours(client, work, path, epochs)

    def other() -> float:
        return theirs(python, work, runner, epochs)

    wanted = 0.95 if runner == "bare" else 1.0
    return Comparison(f"train {work.name}, batch {work.batch}", "rows", *in_turn(rounds, one, other), runner, wanted)


def checkpoints(client: Client, path: Path, rounds: int, epochs: int) -> Comparison:
    """The mlp with a checkpoint every 10 s against the same without."""

    def every(seconds: float | None) -> Callable[[], float]:
        return lambda: ours(client, WORKS["mlp"], path, epochs, checkpoint_seconds=seconds)

    return Comparison("train mlp, kept every 10 s", "rows", *in_turn(rounds, every(10.0), every(None)), "never", 0.97)


def main() -> None:
    """Run what was asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="mlp,cnn,checkpoints")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--checkpoint-epochs", type=int, default=40, help="Long enough for several checkpoints.")
    parser.add_argument("--lightning-python", help="Of an environment that has Lightning.")
    given = parser.parse_args()
    wanted = given.only.split(",")
    found = []
    with tempfile.TemporaryDirectory(prefix="longshore-benchmark-") as name, running_cluster() as client:
        folder = Path(name)
        for work in (WORKS[each] for each in wanted if each in WORKS):
            path = write(work, folder)
            found.append(compared(client, work, path, sys.executable, "bare", given.rounds, given.epochs))
            if given.lightning_python:
                found.append(
                    compared(client, work, path, given.lightning_python, "lightning", given.rounds, given.epochs)
                )
        if "checkpoints" in wanted:
            path = write(WORKS["mlp"], folder)
            found.append(checkpoints(client, path, given.rounds, given.checkpoint_epochs))
    show(found)


if __name__ == "__main__":
    main()
