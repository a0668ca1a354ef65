"""The alternatives in the inference benchmarks: a plain PyTorch loop over the same file, and a raw COPY."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

#: Rows in a forward pass of the loop.
BATCH_SIZE = 1024


def to_parquet(model: nn.Module, source: Path, batch: int = BATCH_SIZE) -> Callable[[], float]:
    """A function that reads, computes and writes ``id`` and label batch by batch, and returns the seconds it took."""
    target = source.with_name("bare.parquet")
    schema = pa.schema({"id": pa.int64(), "label": pa.int64()})

    def run() -> float:
        start = time.perf_counter()
        with pq.ParquetWriter(target, schema) as writer:
            for ids, labels in _labels(model, source, batch):
                writer.write_batch(pa.record_batch([ids, pa.array(labels)], schema=schema))
        return time.perf_counter() - start

    return run


def without_output(model: nn.Module, source: Path, batch: int = BATCH_SIZE) -> Callable[[], float]:
    """A function that reads and computes, and returns the seconds it took."""

    def run() -> float:
        start = time.perf_counter()
        for _ in _labels(model, source, batch):
            pass
        return time.perf_counter() - start

    return run


def copy(url: str, rows: int) -> Callable[[], float]:
    """A function that copies ``rows`` outputs into a table like ``results``, as text in blocks of 5,000 lines.

    :returns: a function that returns the seconds it took.
    """
    output = json.dumps({"label": 3, "score": 0.91234567})

    def run() -> float:
        job = uuid4()
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("DROP TABLE IF EXISTS bare_results")
            conn.execute("CREATE TABLE bare_results (job uuid, row bigint, output jsonb, PRIMARY KEY (job, row))")
            start = time.perf_counter()
            with conn.cursor().copy("COPY bare_results FROM STDIN") as lines:
                for first in range(0, rows, 5000):
                    block = range(first, min(rows, first + 5000))
                    lines.write("".join(f"{job}\t{row}\t{output}\n" for row in block))
            seconds = time.perf_counter() - start
            conn.execute("DROP TABLE bare_results")
        return seconds

    return run


@torch.inference_mode()
def _labels(
    model: nn.Module, source: Path, batch: int
) -> Iterator[tuple[pa.Array, np.ndarray[tuple[int], np.dtype[np.int64]]]]:
    for rows in pq.ParquetFile(source).iter_batches(batch):
        values = rows.column("x").flatten().to_numpy().reshape(rows.num_rows, -1)
        yield rows.column("id"), model(torch.from_numpy(np.array(values))).argmax(1).numpy()
