"""Fill a database and a store by the release before migration 0009 (commit c27ee50), and record what its client reads.

It runs with that release, whose names it uses; see README.md beside this file.
"""

# It is checked against another release than the one beside it.
# mypy: ignore-errors

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper

from longshore.broker import embedded
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.postgres_binaries import find_binaries
from longshore.producers import Client, Infer, Job
from longshore.shared.errors import JobFailed
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import BatchSizeRecord
from longshore.shared.settings import Settings, load_settings

FOLDER = Path("/tmp/longshore-previous-release")
COLORS = ("red", "green", "blue")
TIMEOUT_S = 120.0
#: What the interrupted training and its undisturbed twin have in common.
LONG_TRAINING = {
    **{"config": {"hidden": [8]}, "epochs": 60, "seed": 5, "batch_size": 4, "learning_rate": 0.003},
    **{"checkpoint_seconds": None, "checkpoint_steps": 40, "schedule": "cosine", "accumulate": 2},
}


def points(rows: int, seed: int) -> pa.Table:
    """Points around three centers; columns ``id``, ``x``, ``y``, ``color``."""
    random = np.random.default_rng(seed)
    number = random.integers(0, 3, rows)
    centers = np.array([[0.0, 2.0], [2.0, -1.0], [-2.0, -1.0]])
    xy = np.round(centers[number] + random.normal(0, 0.7, (rows, 2)), 3)
    return pa.table({"id": range(rows), "x": xy[:, 0], "y": xy[:, 1], "color": [COLORS[each] for each in number]})


def unlabelled(rows: int, seed: int) -> list[dict[str, object]]:
    return [{"x": row["x"], "y": row["y"]} for row in points(rows, seed).to_pylist()]


def onnx_file(path: Path) -> Path:
    """One matrix multiplication from one number to three logits."""
    weights = numpy_helper.from_array(np.array([[-1.0, 0.0, 1.0]], np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "w"], ["output"])],
        "classes",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["rows", 1])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["rows", 3])],
        initializer=[weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.005)


@contextlib.contextmanager
def process(settings: Settings, module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **settings.environment(), "LONGSHORE_LEASE": "10", "PYTHONSAFEPATH": "1"}
    with (FOLDER / "log.txt").open("ab") as log:
        started = subprocess.Popen([sys.executable, "-m", module, *arguments], env=environment, stdout=log, stderr=log)
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGTERM)
            started.wait(60)


def run_to_the_end(client: Client, data: Path, inputs: dict[str, object]) -> dict[str, Job]:
    """Jobs of every kind, with what can become of them.

    :param inputs: gets the rows of some jobs, by the name of the job.
    """
    jobs: dict[str, Job] = {}

    def infer(name: str, model: str, rows: list[dict[str, object]], **options: object) -> None:
        inputs[name] = rows
        jobs[name] = client.infer(model, rows, **options)

    train, test = points(120, 1), points(40, 2)
    options = {"config": {"hidden": [8]}, "epochs": 6, "seed": 1, "batch_size": 16, "learning_rate": 0.02}
    features = {"features": ["x", "y"]}
    jobs["train"] = client.train(
        *("points", "mlp", train, "color"), **options, **features, test=0.2, alias="production", train_metrics=True
    )
    line = {"x": [float(x) for x in range(32)], "y": [3.0 * x + 1 for x in range(32)]}
    jobs["train regression"] = client.train("line", "linear", line, "y", task="regression", epochs=3, optimizer="sgd")
    numbers = train["x"].to_pylist()
    tags = [["left"] if x < 0 else ["right", "big"][: 1 + (x > 1)] for x in numbers]
    jobs["train multilabel"] = client.train("tags", "linear", pa.table({"x": numbers, "tags": tags}), "tags", epochs=2)
    embedding = {"task": "embedding", "embedding_width": 4, "epochs": 2, "config": {"hidden": [4]}}
    jobs["train embedding"] = client.train("vectors", "mlp", train, "color", **features, **embedding)
    texts = pa.table(
        {
            "text": [f"{'good fine nice' if n % 2 else 'bad poor sad'} thing number {n % 7}" for n in range(60)],
            "label": ["up" if n % 2 else "down" for n in range(60)],
        }
    )
    small = {"tokenizer": {"length": 8, "vocabulary": 60}, "config": {"embedding": 4, "hidden_size": 4}}
    jobs["train texts"] = client.train("topics", "rnn", texts, "label", epochs=2, **small)
    images = pa.table(
        {
            "pixels": pa.FixedSizeListArray.from_arrays(np.arange(64 * 16, dtype=np.float32) % 17, 16),
            "label": [n % 2 for n in range(64)],
        }
    )
    cnn = {"input_shape": [1, 4, 4], "channels": [2], "hidden": [4], "kernel_size": [3], "padding": 1}
    jobs["train images"] = client.train(
        *("images", "cnn", images, "label"), config=cnn, epochs=1, augment={"random_crop": {"padding": 1}}
    )
    for job in jobs.values():
        job.wait(TIMEOUT_S)

    jobs["extend"] = jobs["train"].extend(3).wait(TIMEOUT_S)
    rows = unlabelled(20, 3)
    infer("infer rows", "points:1", rows)
    infer("infer options", "points:2", rows, top_k=2, logits=True, priority=7)
    jobs["infer alias"] = client.infer("points@production", rows[:2])
    pq.write_table(test, data / "test.parquet", row_group_size=10)
    jobs["infer file"] = client.infer("points:1", data / "test.parquet", rows_per_shard=15)
    for name, allowed in (("allowed row errors", 0.5), ("too many row errors", 1)):
        broken = [{"x": float("nan") if n % 4 == 1 else float(n), "y": 0.0} for n in range(12)]
        jobs[name] = client.infer("points:1", broken, max_row_errors=allowed)
    jobs["infer into files"] = client.infer(
        *("points:1", data / "test.parquet"), output=str(data / "out" / "*.parquet"), keep=["id"], rows_per_shard=25
    )
    np.save(data / "rows.npy", np.array([[0.0, 1.0], [np.nan, 0.0], [1.0, np.nan], [2.0, 0.0]], np.float32))
    jobs["retried rows"] = client.infer("points:1", data / "rows.npy", max_row_errors=3).wait(TIMEOUT_S)
    np.save(data / "rows.npy", np.array([[0.0, 1.0], [5.0, 0.0], [1.0, np.nan], [2.0, 0.0]], np.float32))
    jobs["retried rows"].retry(rows="failed")
    infer("infer line", "line", [{"x": 1.0}, {"x": 2.0}])
    infer("infer tags", "tags", [{"x": -3.0}, {"x": 0.5}, {"x": 3.0}], threshold=0.4)
    infer("infer vectors", "vectors", rows[:3])
    infer("infer texts", "topics", [{"text": "good fine nice thing"}, {"text": "sad"}])
    infer("infer images", "images", images.select(["pixels"]).slice(0, 4).to_pylist())
    for number, job in enumerate(client.submit_many([Infer("points:1", [row]) for row in rows[:5]])):
        jobs[f"small {number}"] = job
    inputs["evaluate"] = test.to_pylist()
    jobs["evaluate"] = client.evaluate("points:1", test, bootstrap=20, worst=3)
    space = {"learning_rate": {"low": 1e-3, "high": 0.1, "log": True}, "config.hidden": [[2], [4]]}
    jobs["tune"] = client.tune("tuned", "mlp", train, "color", space, **features, trials=4, epochs=2, alias="best")
    jobs["cross validate"] = client.cross_validate("points", "linear", train, "color", **features, folds=3, epochs=2)
    diverging = {"task": "regression", "optimizer": "sgd", "epochs": 30, "learning_rate": 1000.0}
    jobs["failed"] = client.train("diverges", "linear", line, "y", **diverging)
    infer("keyed", "points:1", rows[:2], idempotency_key="once")
    for job in jobs.values():
        with contextlib.suppress(JobFailed):
            job.wait(TIMEOUT_S)

    first = client.train("points", "mlp", train, "color", **{**options, "seed": 2}, **features)
    second = first.then.evaluate(test, bootstrap=0)
    third = second.then.promote("production", if_="accuracy >= 0.1")
    jobs |= {"chain 1": first, "chain 2": second, "chain 3": third, "chain 4": third.then.infer(rows[:4])}
    jobs["chain 4"].wait(TIMEOUT_S)
    refused = jobs["train"].then.promote("refused", if_="accuracy > 1")
    jobs |= {"refused 1": refused, "refused 2": refused.then.infer(rows[:2])}
    with contextlib.suppress(JobFailed):
        jobs["refused 2"].wait(TIMEOUT_S)

    jobs["undisturbed"] = client.train("long", "mlp", train, "color", **LONG_TRAINING, **features).wait(TIMEOUT_S)

    client.models.promote("points:1", "candidate")
    client.models.promote("points:2", "candidate")
    client.models.promote("points:1", "candidate", if_="test_accuracy > 0.1")
    client.models.promote("points:2", "gone")
    client.models.remove_alias("points", "gone")
    client.models.export("points:1", data / "exported")
    client.models.import_(data / "exported", "imported", alias="first")
    signature = {"features": [{"name": "x"}], "task": "classification", "target": "y", "labels": ["no", "maybe", "yes"]}
    client.models.import_(onnx_file(data / "classes.onnx"), "classes", signature=signature)
    infer("infer imported", "imported", rows[:3])
    infer("infer onnx", "classes", [{"x": -1.0}, {"x": 1.0}])
    for name in ("infer imported", "infer onnx"):
        jobs[name].wait(TIMEOUT_S)
    return jobs


def submit_unfinished(client: Client) -> dict[str, Job]:
    """Jobs that nobody has run, or that were ended before they ran."""
    rows = unlabelled(20, 4)
    jobs = {"queued": client.infer("points:1", rows)}
    for number, job in enumerate(client.submit_many([Infer("points:1", [row]) for row in rows[:3]])):
        jobs[f"queued small {number}"] = job
    jobs["cancelled"] = client.infer("points:1", rows)
    jobs["cancelled"].cancel()
    first = client.train("again", "linear", points(30, 5), "color", features=["x", "y"], epochs=1)
    second = first.then.evaluate(points(30, 6), bootstrap=0)
    jobs |= {"again 1": first, "again 2": second, "again 3": second.then.promote("retried")}
    jobs["again 2"].cancel()
    return jobs


def record_of(ledger: Ledger, job: Job) -> dict[str, object]:
    """What the old client reads of a job, by the names that the glossary gives them."""
    record = job.record()
    fields = (
        *("id", "kind", "state", "producer", "queue", "priority", "spec", "model", "version", "digest", "rows_total"),
        *("rows_done", "rows_failed", "shards_total", "shards_done", "shards_failed", "outcome", "error", "notes"),
    )
    shards = [
        {
            **{name: getattr(shard, name) for name in ("index", "state", "start", "stop", "attempt", "attempt_limit")},
            **{"worker": shard.worker, "rows_done": shard.rows_done, "only_failed": shard.only_failed},
            **{"errors": shard.errors, "action": shard.task, "output_file": shard.part},
        }
        for shard in job.shards()
    ]
    trials = [
        {name: value for name, value in vars(trial).items() if name not in ("started_at", "finished_at")}
        for trial in job.trials()
    ]
    checkpoint = ledger.checkpoints.newest(job.id)
    files = record.spec.get("output") is not None
    return {
        **{name: getattr(record, name) for name in fields},
        **{"depends_on": record.after, "rows_before_retry": record.rows_before},
        "created_at": record.created_at.isoformat(),
        "finished_at": None if record.finished_at is None else record.finished_at.isoformat(),
        "shards": shards,
        "results": [] if files else job.results().to_pylist(),
        "output_files": job.parts() if files else [],
        "errors": [vars(error) for error in job.errors()],
        "metrics": [[metric.step, metric.name, metric.value] for metric in job.metrics()],
        "trials": trials,
        "chain": [each.id for each in job.chain()],
        "checkpoint": None
        if checkpoint is None
        else {
            **{"step": checkpoint.step, "epoch": checkpoint.epoch, "attempt": checkpoint.attempt},
            **{"blob": checkpoint.blob, "size_bytes": checkpoint.size},
        },
    }


def models_of(client: Client) -> dict[str, object]:
    return {
        model.name: {
            **{"versions": model.versions, "newest": model.newest, "aliases": model.aliases},
            "each": [
                {name: value for name, value in vars(version).items() if name != "created_at"}
                for version in client.models.versions(model.name)
            ],
            "history": {
                alias: [[move.version, move.set_by] for move in client.models.history(model.name, alias)]
                for alias in ("production", "candidate", "gone", "best", "first", "refused")
            },
        }
        for model in client.models.list()
    }


def dump(settings: Settings, path: Path) -> None:
    program = find_binaries(Home(FOLDER / "home"), None) / "pg_dump"
    command = [program, "--no-owner", "--no-privileges", "--inserts", "--rows-per-insert=50", settings.database_url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Lines for psql alone.
    sql = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("\\"))
    path.write_bytes(gzip.compress(sql.encode(), mtime=0))


def as_lines(expected: dict[str, dict[str, object]]) -> str:
    """As JSON, with a line for each job and each model."""
    parts = []
    for name, value in expected.items():
        items = value.items() if isinstance(value, dict) else enumerate(value)
        lines = []
        for key, each in items:
            text = json.dumps(each, default=str)
            lines.append(f"  {json.dumps(key)}: {text}" if isinstance(value, dict) else f"  {text}")
        start, end = "{}" if isinstance(value, dict) else "[]"
        parts.append(f" {json.dumps(name)}: {start}\n" + ",\n".join(lines) + f"\n {end}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main(target: Path) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    data = FOLDER / "data"
    data.mkdir(parents=True)
    FOLDER.chmod(0o711)
    home = FOLDER / "home"
    embedded.up(home, detach=True, services=())
    try:
        settings = load_settings(home=home, producer="previous", environ={})
        with (
            Ledger(settings.database_url) as ledger,
            Client(
                redis_url=settings.redis_url,
                database_url=settings.database_url,
                store=settings.store,
                producer=settings.producer,
            ) as client,
            process(settings, "longshore.broker.relay"),
        ):
            with process(settings, "longshore.workers.supervisor", "--devices", "cpu") as workers:
                wait_until(ledger.fleet.live_queues)
                inputs: dict[str, object] = {}
                jobs = run_to_the_end(client, data, inputs)
                train = points(120, 1)
                interrupted = client.train("long", "mlp", train, "color", **LONG_TRAINING, features=["x", "y"])
                jobs["interrupted"] = interrupted
                jobs["waiting"] = interrupted.then.infer(unlabelled(5, 7))
                wait_until(lambda: ledger.checkpoints.newest(interrupted.id))
                tree = psutil.Process(workers.pid)
                for each in [tree, *tree.children(recursive=True)]:
                    each.kill()
            wait_until(lambda: interrupted.shards()[0].state == "queued")
            jobs |= submit_unfinished(client)
            wait_until(lambda: jobs["again 3"].state.final)
            with ledger.database.connection() as conn:
                conn.execute("DELETE FROM workers")
            batch_sizes = [BatchSizeRecord(length=0, rows=512, rate=1234.5, settled=True)]
            ledger.batch_sizes.write("sha256:" + "0" * 64, "cpu", batch_sizes)
            expected = {
                "jobs": {name: record_of(ledger, job) for name, job in jobs.items()},
                "order": [job.id for job in client.jobs(limit=1000)],
                "models": models_of(client),
                "inputs": inputs,
            }
        dump(settings, target / "database.sql.gz")
        with tarfile.open(target / "store.tar.gz", "w:gz") as tar:
            tar.add(settings.store.removeprefix("file://"), "store")
        (target / "expected.json").write_text(as_lines(expected))
    finally:
        embedded.down(home)
    shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
