"""Submission against a loop over Celery's ``apply_async``; inference into Postgres against a bare PyTorch loop.

usage: python -m benchmarks.throughput [--rounds 5] [--jobs 10000] [--rows 100000]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from celery import Celery
from torch import nn

from benchmarks.cluster import PATIENCE, float_rows, running_cluster, train_mlp
from benchmarks.report import Comparison, in_turn, show
from longshore.producers import Client, Infer

#: Rows of the bare loop's forward pass, and of a row group of the input.
BATCH, ROW_GROUP = 1024, 8192
#: Calls of ``apply_async`` that are timed: it is slow, and each costs the same.
CALLS = 2000


def submission(rounds: int, jobs: int) -> Comparison:
    """One-row jobs: durable in Postgres and published, against messages that carry the row and lie in Redis alone."""
    with running_cluster() as client:
        train_mlp(client, "wide", 8, 16, 3)
        home = client.settings.home
        assert home is not None
        app = Celery("by-hand", broker=client.settings.redis_url)
        app.conf.update(task_ignore_result=True, task_serializer="msgpack", task_default_queue="by-hand")

        def infer(number: int, row: list[float]) -> None:
            """Never run: the rate of submission is what is measured."""

        task = app.task(name="by-hand.infer")(infer)
        row = [0.5] * 8

        def by_hand() -> float:
            start = time.perf_counter()
            for number in range(CALLS):
                task.apply_async((number, row))
            return CALLS / (time.perf_counter() - start)

        # Nobody takes from this queue, as nobody takes from that of the other side: submission alone is measured.
        request = Infer("wide:1", np.full((1, 8), 0.5, np.float32), {"device": "gpu"})
        requests = [request] * jobs

        def ours() -> float:
            start = time.perf_counter()
            client.submit_many(requests)
            return jobs / (time.perf_counter() - start)

        measured = in_turn(rounds, ours, by_hand)
        app.close()
    return Comparison(f"submit {jobs:,} one-row jobs", "jobs", *measured, "apply_async in a loop", 10.0)


def inference(rounds: int, rows: int) -> Comparison:
    """A 784-256-10 mlp over Parquet into ``results``, warm worker, against a bare loop that writes Parquet."""
    torch.set_num_threads(os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder, running_cluster() as client:
        source = Path(folder) / "rows.parquet"
        pq.write_table(pa.table({"id": np.arange(rows), "x": float_rows(rows, 784)}), source, row_group_size=ROW_GROUP)
        train_mlp(client, "mlp", 784, 256, 10)
        measured = in_turn(rounds, _job(client, source, rows), _bare(source, rows))
    return Comparison(f"infer {rows:,} rows, mlp 784-256-10", "rows", *measured, "bare loop to Parquet", 0.5)


def _job(client: Client, source: Path, rows: int) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        client.infer("mlp:1", source).wait(PATIENCE, progress=False)
        return rows / (time.perf_counter() - start)

    return run


def _bare(source: Path, rows: int) -> Callable[[], float]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)).eval()
    target = source.with_name("bare.parquet")

    @torch.inference_mode()
    def run() -> float:
        start = time.perf_counter()
        schema = pa.schema({"id": pa.int64(), "label": pa.int64()})
        with pq.ParquetWriter(target, schema) as writer:
            for batch in pq.ParquetFile(source).iter_batches(BATCH):
                values = batch.column("x").flatten().to_numpy().reshape(batch.num_rows, -1)
                labels = model(torch.from_numpy(np.array(values))).argmax(1).numpy()
                writer.write_batch(pa.record_batch([batch.column("id"), pa.array(labels)], schema=schema))
        return rows / (time.perf_counter() - start)

    return run


def main() -> None:
    """Run both and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    show([submission(options.rounds, options.jobs), inference(options.rounds, options.rows)])


if __name__ == "__main__":
    main()
