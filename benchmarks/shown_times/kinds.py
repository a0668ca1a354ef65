"""The kinds of jobs whose times are compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
from PIL import Image
from pydantic import JsonValue

from benchmarks.cluster import TIMEOUT_S, float_rows, kill_children, train_mlp
from longshore.producers import Client, Infer, Job
from longshore.producers.options.keywords import TrainOptions
from longshore.shared.vocabulary import State

#: Numbers in a row, rows of the files and of the training data, and classes.
WIDTH, FILE_ROWS, TRAINING_ROWS, CLASSES = 64, 100_000, 10_000, 10
IMAGES, SIDE = 2000, 16
CNN: dict[str, JsonValue] = {"input_shape": [3, SIDE, SIDE]}


@dataclass(frozen=True)
class Kind:
    """A kind of job.

    :param submit: submits one job, or several that are measured together. It gets what ``before`` has returned.
    :param before: what happens before the clock starts.
    :param is_watched: whether it is looked at while it runs, as a live line does.
    """

    submit: Callable[[Client, Path, Job | None], Sequence[Job]]
    before: Callable[[Client, Path], Job] | None = None
    is_watched: bool = False


def prepare(client: Client, folder: Path) -> None:
    """Write the files, and train the versions, that the jobs need."""
    rows = float_rows(FILE_ROWS, WIDTH)
    pq.write_table(pa.table({"x": rows}), folder / "rows.parquet")
    numbers = rows.flatten().to_numpy().reshape(FILE_ROWS, WIDTH)
    flat = pa.table({f"x{number}": numbers[:, number] for number in range(8)})
    pa.csv.write_csv(flat, folder / "rows.csv")
    with (folder / "rows.jsonl").open("w") as file:
        file.writelines(f'{{"x": {row.tolist()}}}\n' for row in numbers[: FILE_ROWS // 4].round(3))
    labels = np.arange(TRAINING_ROWS) % CLASSES
    pq.write_table(pa.table({"x": rows.slice(0, TRAINING_ROWS), "y": labels}), folder / "labelled.parquet")
    few = pa.table({**{f"x{number}": numbers[:200, number] for number in range(8)}, "y": labels[:200]})
    pixels = np.random.default_rng(0).integers(0, 255, (IMAGES, SIDE, SIDE, 3), np.uint8)
    for number, image in enumerate(pixels):
        place = folder / "images" / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    train_mlp(client, "mlp", WIDTH, 512, CLASSES)
    jobs = [
        client.train("flat", "mlp", few, "y", epochs=1),
        client.train("images", "cnn", str(folder / "images"), "label", config=CNN, epochs=1),
        client.train("vectors", "mlp", folder / "labelled.parquet", "y", task="embedding", epochs=1),
    ]
    client.wait(jobs, TIMEOUT_S)
    assert all(job.state is State.SUCCEEDED for job in jobs), [job.record().error for job in jobs]


def infer(model: str, data: str | pa.Table | np.ndarray) -> Kind:
    """Inference with a file of the folder, or with rows."""
    return Kind(
        lambda client, folder, _: [client.infer(model, folder / data if isinstance(data, str) else data)],
        is_watched=isinstance(data, str),
    )


def train(family: str, **options: Unpack[TrainOptions]) -> Kind:
    """Training on the labelled rows or, of a ``cnn``, on the images."""

    def submit(client: Client, folder: Path, _: Job | None) -> list[Job]:
        if family == "cnn":
            for_images: TrainOptions = {"config": CNN, **options}
            return [client.train("trained", family, folder / "images", "label", **for_images)]
        return [client.train("trained", family, folder / "labelled.parquet", "y", **options)]

    return Kind(submit, is_watched=True)


def trained(client: Client, folder: Path) -> Job:
    """A training that has succeeded, to be extended."""
    return client.train("extended", "mlp", folder / "labelled.parquet", "y", epochs=2).wait(TIMEOUT_S, progress=False)


def cancelled(client: Client, folder: Path) -> Job:
    """A training that was cancelled after some epochs."""
    job = client.train("retried", "mlp", folder / "labelled.parquet", "y", epochs=100, checkpoint_seconds=0.1)
    wait_for_progress(job, 3)
    job.cancel()
    return job


def wait_for_progress(job: Job, done: int) -> None:
    """Wait until so many rows or epochs are done."""
    deadline = time.monotonic() + TIMEOUT_S
    while job.progress.done < done:
        assert time.monotonic() < deadline
        assert not job.state.final, job.record().error
        time.sleep(0.01)


def kill_worker(client: Client, folder: Path, _: Job | None) -> list[Job]:
    """Kill the process that computes in the middle of a job."""
    job = client.infer("mlp:1", folder / "rows.parquet", rows_per_shard=10_000)
    wait_for_progress(job, FILE_ROWS // 4)
    kill_children(client)
    return [job]


def chain(client: Client, folder: Path, _: Job | None) -> list[Job]:
    """Train, then evaluate what was trained, then infer with it."""
    first = client.train("chained", "mlp", folder / "labelled.parquet", "y", epochs=5)
    second = first.then.evaluate(folder / "labelled.parquet")
    return [first, second, second.then.infer(folder / "rows.parquet")]


_ROW = np.full((1, WIDTH), 0.5, np.float32)
KINDS: dict[str, Kind] = {
    "one row in memory": infer("mlp:1", _ROW),
    "500 rows in memory": infer("mlp:1", np.repeat(_ROW, 500, 0)),
    "100,000 rows in memory": infer("mlp:1", np.repeat(_ROW, 100_000, 0)),
    "an Arrow table": infer("mlp:1", pa.table({"x": float_rows(20_000, WIDTH)})),
    "Parquet": infer("mlp:1", "rows.parquet"),
    "CSV": infer("flat:1", "rows.csv"),
    "JSON Lines": infer("mlp:1", "rows.jsonl"),
    "a folder of images": infer("images:1", "images"),
    "embeddings": infer("vectors:1", "labelled.parquet"),
    "Parquet to Parquet": Kind(
        lambda client, folder, _: [
            client.infer("mlp:1", folder / "rows.parquet", output=f"{folder}/out-{time.time_ns()}/*.parquet")
        ],
        is_watched=True,
    ),
    "small shards": Kind(
        lambda client, folder, _: [client.infer("mlp:1", folder / "rows.parquet", rows_per_shard=2000)],
        is_watched=True,
    ),
    "200 small jobs": Kind(lambda client, _, __: client.submit_many([Infer("mlp:1", _ROW)] * 200)),
    "training, linear": train("linear", epochs=20),
    "training, mlp": train("mlp", epochs=20),
    "training, cnn": train("cnn", epochs=10),
    "training that stops early": train("mlp", epochs=40, early_stopping=2, monitor="val_loss", learning_rate=0.01),
    "extend": Kind(
        lambda _, __, job: [] if job is None else [job.extend(12)],
        before=trained,
        is_watched=True,
    ),
    "tune": Kind(
        lambda client, folder, _: [
            client.tune(
                *("tuned", "mlp", folder / "labelled.parquet", "y"),
                {"learning_rate": [0.001, 0.003, 0.01, 0.03]},
                sampler="grid",
                epochs=4,
            )
        ],
        is_watched=True,
    ),
    "cross_validate": Kind(
        lambda client, folder, _: [
            client.cross_validate("checked", "mlp", folder / "labelled.parquet", "y", folds=4, epochs=4)
        ],
        is_watched=True,
    ),
    "evaluate": Kind(
        lambda client, folder, _: [client.evaluate("mlp:1", folder / "labelled.parquet", "y")], is_watched=True
    ),
    "a chain of three": Kind(chain),
    "retry after cancel": Kind(
        lambda _, __, job: [] if job is None else [job.retry()],
        before=cancelled,
        is_watched=True,
    ),
    "a killed worker": Kind(kill_worker, is_watched=True),
}
