"""How much memory a stream takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow

MIB = 1 << 20
WIDTH, GROUP, GROUPS = 256, 20_000, 20

TRAIN = """
import resource, sys, torch
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.loop.context import TrainingContext
from longshore.workers.train.loop.trainer import train
from longshore.workers.train.data.stream.open import open_streams

def run(path):
    spec = TrainSpec.model_validate({
        "model": "m", "family": "linear", "data": {"uri": path, "format": "parquet"}, "target": "y",
        "stream": True, "shuffle_window": 8192, "epochs": 1, "batch_size": 1024,
    })
    model = train(spec, open_streams(spec, None), TrainingContext(torch.device("cpu")))
    return model.metrics

run(sys.argv[1])  # what is loaded and cached by then is no part of it
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert run(sys.argv[2])["val_accuracy"] > 0
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def write(path: Path, groups: int) -> Path:
    draw = np.random.default_rng(0)
    schema = pa.schema([("x", pa.list_(pa.float32(), WIDTH)), ("y", pa.int64())])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(groups):
            values = draw.random(GROUP * WIDTH, np.float32)
            columns = [pa.FixedSizeListArray.from_arrays(values, WIDTH), pa.array(np.arange(GROUP) % 5)]
            writer.write_table(pa.table(columns, schema=schema))
    return path


def test_a_file_of_many_windows_takes_no_more_memory_than_one_of_few(tmp_path: Path) -> None:
    small, large = write(tmp_path / "small.parquet", 2), write(tmp_path / "large.parquet", GROUPS)
    assert large.stat().st_size > 350 * MIB
    done = subprocess.run([sys.executable, "-c", TRAIN, small, large], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # A window is 8 MiB. Allocators keep some of what they had.
    assert int(done.stdout) < 100 * MIB
