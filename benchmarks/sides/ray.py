"""Ray's side of ``benchmarks.ray_data``, run by the Python of an environment that has Ray.

usage: python -m benchmarks.sides.ray mlp|cnn FOLDER THREADS

For each line on standard input, it runs the Parquet files of FOLDER through the network into Parquet files, and prints
one line: the seconds since the model was loaded, and the seconds including the loading. The first run also includes the
start of Ray's workers.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.dataset as ds
import ray  # type: ignore[import-not-found]
import ray.data  # type: ignore[import-not-found]
import torch
from ray.data.datasource import PathPartitionFilter  # type: ignore[import-not-found]

from benchmarks.networks import cnn, mlp

#: The network and the rows in a batch, as in the bare loop.
WORK = {"mlp": (mlp, 1024), "cnn": (cnn, 256)}

#: Seconds for an actor to load the model.
TIMEOUT_S = 120.0

Batch = dict[str, npt.NDArray[np.generic]]


class Predictor:
    """The class of an actor with the model, as in Ray's guide to batch inference.

    https://docs.ray.io/en/latest/data/batch_inference.html

    :param ready: a file that is touched when the model is loaded.
    """

    def __init__(self, kind: str, threads: int, ready: str) -> None:
        torch.set_num_threads(threads)
        self._model = WORK[kind][0]()
        Path(ready).touch()

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> Batch:
        """``id`` and ``x`` in, ``id`` and ``label`` out."""
        rows = np.stack(list(batch["x"])) if batch["x"].dtype == object else batch["x"]
        labels = self._model(torch.from_numpy(np.ascontiguousarray(rows))).argmax(1)
        return {"id": batch["id"], "label": labels.numpy()}


def wait_for(ready: Path) -> Callable[[dict[str, str]], bool]:
    """A filter that delays the task that lists the files until the model is loaded: nothing is read before that.

    It accepts every file. The driver, which also lists the files, does not wait.
    """
    driver = os.getpid()

    def take(_: dict[str, str]) -> bool:
        until = time.monotonic() + TIMEOUT_S
        while os.getpid() != driver and not ready.exists():
            if time.monotonic() > until:
                raise TimeoutError("Ray has started no actor")
            time.sleep(0.01)
        return True

    return take


def run(kind: str, source: Path, threads: int) -> tuple[float, float]:
    """Run once. Returns the seconds since the model was loaded, and since the call."""
    target, ready = source.with_name("ray-outputs"), source.with_name("ray-ready")
    shutil.rmtree(target, ignore_errors=True)
    ready.unlink(missing_ok=True)
    rows = ray.data.read_parquet(str(source), partition_filter=PathPartitionFilter.of(wait_for(ready)))
    start = time.time()
    rows.map_batches(
        Predictor,
        fn_constructor_args=(kind, threads, str(ready)),
        batch_size=WORK[kind][1],
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=1,
    ).write_parquet(str(target))
    end = time.time()
    written, expected = (ds.dataset(folder, format="parquet").count_rows() for folder in (target, source))
    if written != expected:
        raise RuntimeError(f"Ray wrote {written} of {expected} rows")
    return end - ready.stat().st_mtime, end - start


def main() -> None:
    """Serve runs until standard input ends."""
    kind, source, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    options = {"include_dashboard": False, "logging_level": logging.ERROR, "log_to_driver": False}
    # Not below the input's folder: the paths of sockets have at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        ray.init(num_cpus=threads, _temp_dir=folder, **options)
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        for _ in sys.stdin:
            print("took", *run(kind, source, threads), flush=True)
        ray.shutdown()


if __name__ == "__main__":
    main()
