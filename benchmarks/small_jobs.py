"""Ten thousand jobs of one row, from submission to the last result, against Celery by hand.

The other side is what a team writes itself: one task a request, the model kept in the worker, an INSERT a result.

usage: python -m benchmarks.small_jobs [--rounds 3] [--jobs 10000] [--tasks 2000]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg
from celery import Celery

from benchmarks.cluster import PATIENCE, running_cluster, train_mlp
from benchmarks.report import Comparison, in_turn, show
from longshore.producers import Client, Infer

TASKS = """
    import json, os
    import psycopg, torch
    from celery import Celery
    from torch import nn

    app = Celery("by_hand", broker=os.environ["BROKER"])
    app.conf.update(task_serializer="msgpack", accept_content=["msgpack"], task_ignore_result=True, task_acks_late=True,
                    task_default_queue="by-hand")
    held = {}

    @app.task(name="by_hand.infer")
    def infer(number, row):
        if not held:
            torch.set_num_threads(2)
            held["model"] = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)).eval()
            held["link"] = psycopg.connect(os.environ["DATABASE"], autocommit=True)
        with torch.inference_mode():
            scores = held["model"](torch.tensor([row])).softmax(1)[0]
        label = int(scores.argmax())
        output = json.dumps({"label": label, "score": float(scores[label])})
        held["link"].execute("INSERT INTO by_hand VALUES (%s, %s)", (number, output))
"""


@contextmanager
def by_hand(client: Client, tasks: int) -> Iterator[Callable[[], float]]:
    """A worker of that kind; gives what measures its rate, from submission to the last result."""
    row = [0.5] * 784
    with (
        tempfile.TemporaryDirectory() as folder,
        psycopg.connect(client.settings.database_url, autocommit=True) as link,
    ):
        link.execute("CREATE TABLE by_hand (number bigint, output jsonb)")
        Path(folder, "by_hand.py").write_text(textwrap.dedent(TASKS))
        environment = {"BROKER": client.settings.redis_url, "DATABASE": client.settings.database_url}
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "by_hand", "worker", "-c", "1", "-l", "ERROR", "-Q", "by-hand"],
            cwd=folder,
            env={**environment, "PATH": "/usr/bin:/bin", "C_FORCE_ROOT": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        app = Celery("by_hand", broker=client.settings.redis_url)
        app.conf.update(task_serializer="msgpack", task_ignore_result=True, task_default_queue="by-hand")

        def measure() -> float:
            link.execute("TRUNCATE by_hand")
            start = time.perf_counter()
            for number in range(tasks):
                app.send_task("by_hand.infer", (number, row))
            while (link.execute("SELECT count(*) FROM by_hand").fetchone() or (0,))[0] < tasks:
                time.sleep(0.005)
            return tasks / (time.perf_counter() - start)

        try:
            yield measure
        finally:
            app.close()
            worker.terminate()
            worker.wait()


def compare(rounds: int, jobs: int, tasks: int) -> Comparison:
    """Both sides in turn, on the same Redis, Postgres and cores."""
    with running_cluster() as client:
        train_mlp(client, "mlp", 784, 256, 10)
        row = np.full((1, 784), 0.5, np.float32)
        requests = [Infer("mlp:1", row)] * jobs

        def ours() -> float:
            start = time.perf_counter()
            client.wait(client.submit_many(requests), PATIENCE)
            return jobs / (time.perf_counter() - start)

        with by_hand(client, tasks) as theirs:
            measured = in_turn(rounds, ours, theirs)
    return Comparison(f"{jobs:,} jobs of one row", "jobs", *measured, "one Celery task and INSERT each", 10.0)


def main() -> None:
    """Run it and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=2_000)
    options = parser.parse_args()
    show([compare(options.rounds, options.jobs, options.tasks)])


if __name__ == "__main__":
    main()
