"""Batch inference on a warm worker against a bare PyTorch loop over the same Parquet file.

usage: python -m benchmarks.inference [--rounds 3] [--only mlp-files,mlp-table,cnn-table] [--rows N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks import bare
from benchmarks.cluster import TIMEOUT_S, float_rows, owner_url, running_cluster, train_mlp
from benchmarks.networks import cnn, mlp
from benchmarks.report import SpeedComparison, in_turn, show
from longshore.producers import Client
from longshore.producers.options.keywords import InferOptions, TrainOptions

#: Rows in a row group of the input.
ROW_GROUP = 8192


@dataclass(frozen=True)
class InferenceCase:
    """One row of the table."""

    rows: int
    width: int
    files: bool
    #: The ratio to reach.
    target: float


CASES = {
    "mlp-files": InferenceCase(1_000_000, 784, True, 0.90),
    "mlp-table": InferenceCase(1_000_000, 784, False, 0.80),
    "cnn-table": InferenceCase(50_000, 3072, False, 0.90),
}


def write_rows(path: Path, rows: int, width: int, group: int = ROW_GROUP) -> None:
    """Write a Parquet file of ``id`` and ``x``, group by group: a million rows of 784 numbers take 3 GB."""
    schema = pa.schema({"id": pa.int64(), "x": pa.list_(pa.float32(), width)})
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, group):
            count = min(group, rows - start)
            ids = pa.array(np.arange(start, start + count))
            writer.write_table(pa.table([ids, float_rows(count, width, seed=start)], schema=schema), group)


def compare(name: str, case: InferenceCase, rows: int, rounds: int) -> SpeedComparison:
    """Measure both sides of a case in turn."""
    with _input(rows, case.width) as source, running_cluster() as client:
        kind = name.partition("-")[0]
        make_version(client, kind)
        ours = job_rate(client, kind, source, rows, case.files)
        rates = in_turn(rounds, ours, _alternative(name, client, source, rows))
    against = "loop, then COPY" if name == "mlp-table" else "bare loop to Parquet"
    return SpeedComparison(f"{name}, {rows:,} rows", "rows", *rates, against, case.target)


def _alternative(name: str, client: Client, source: Path, rows: int) -> Callable[[], float]:
    torch.set_num_threads(os.cpu_count() or 1)
    if name != "mlp-table":
        loop = bare.to_parquet(cnn(), source, 256) if name == "cnn-table" else bare.to_parquet(mlp(), source)
        return lambda: rows / loop()
    computing, copying = bare.without_output(mlp(), source), bare.copy(owner_url(client), rows)
    return lambda: rows / (computing() + copying())


def job_rate(client: Client, model: str, source: Path, rows: int, files: bool) -> Callable[[], float]:
    """A function that runs a job and returns its rows per second, from creation to end by the database's clock."""
    folder = source.with_name("outputs")

    def run() -> float:
        shutil.rmtree(folder, ignore_errors=True)
        options: InferOptions = {"output": str(folder / "*.parquet"), "keep": ["id"]} if files else {}
        job = client.infer(f"{model}:1", source, **options).wait(TIMEOUT_S, progress=False)
        record = job.record()
        assert record.finished_at is not None
        return rows / (record.finished_at - record.created_at).total_seconds()

    return run


def make_version(client: Client, kind: str) -> None:
    """Train version 1 of ``mlp`` or ``cnn``, with the shapes in :mod:`benchmarks.networks`."""
    if kind == "mlp":
        train_mlp(client, "mlp", 784, 256, 10)
        return
    table = pa.table({"x": float_rows(200, 3072), "y": np.arange(200) % 10})
    options: TrainOptions = {"epochs": 1, "standardize": False, "config": {"input_shape": [3, 32, 32]}}
    client.train("cnn", "cnn", table, "y", **options).wait(TIMEOUT_S, progress=False)


@contextmanager
def _input(rows: int, width: int) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="longshore-benchmark-", dir="/tmp"))
    try:
        source = folder / "rows.parquet"
        write_rows(source, rows, width)
        yield source
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Run the cases and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--rows", type=int, help="rows of each case; default: a million, and 50,000 for the cnn")
    options = parser.parse_args()
    chosen = {name: CASES[name] for name in options.only.split(",")}
    show([compare(name, case, options.rows or case.rows, options.rounds) for name, case in chosen.items()])


if __name__ == "__main__":
    main()
