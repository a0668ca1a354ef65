"""A typical hand-written service: one Celery task per request, the model loaded in the worker, an INSERT per result."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from celery import Celery

from benchmarks.cluster import owner_url
from benchmarks.crowd import Crowd
from longshore.producers import Client

TASKS = """
    import json, os
    import psycopg, torch
    from celery import Celery
    from torch import nn

    app = Celery("by_hand", broker=os.environ["BROKER"])
    app.conf.update(task_serializer="msgpack", accept_content=["msgpack"], task_ignore_result=True, task_acks_late=True,
                    task_default_queue="by-hand")
    cache = {}

    @app.task(name="by_hand.infer")
    def infer(number, row):
        if not cache:
            torch.set_num_threads(2)
            cache["model"] = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)).eval()
            cache["conn"] = psycopg.connect(os.environ["DATABASE"], autocommit=True)
        with torch.inference_mode():
            scores = cache["model"](torch.tensor([row])).softmax(1)[0]
        label = int(scores.argmax())
        output = json.dumps({"label": label, "score": float(scores[label])})
        cache["conn"].execute("INSERT INTO by_hand VALUES (%s, %s)", (number, output))
"""


class ByHand:
    """Such a worker. Each method returns requests per second, from the first submission to the last result."""

    def __init__(self, redis_url: str, conn: psycopg.Connection[tuple[object, ...]]) -> None:
        self._redis_url = redis_url
        self._conn = conn

    def alone(self, tasks: int) -> float:
        """Send ``tasks`` requests from this process."""
        self._conn.execute("TRUNCATE by_hand")
        start = time.perf_counter()
        send(self._redis_url, tasks)
        return self._until_the_last(tasks, start)

    def crowded(self, crowd: Crowd, tasks: int) -> float:
        """Let the processes of ``crowd`` send ``tasks`` requests at once."""
        self._conn.execute("TRUNCATE by_hand")
        start = crowd.start()
        return self._until_the_last(tasks, start)

    def _until_the_last(self, tasks: int, start: float) -> float:
        while self._conn.execute("SELECT count(*) FROM by_hand").fetchall()[0][0] != tasks:
            time.sleep(0.005)
        return tasks / (time.perf_counter() - start)


def send(redis_url: str, tasks: int, begin: Callable[[], object] = lambda: None) -> None:
    """Call ``apply_async`` for each request.

    :param begin: called once the app has a connection to Redis, before the first request.
    """
    row = [0.5] * 784
    app = Celery("by_hand", broker=redis_url)
    app.conf.update(task_serializer="msgpack", task_ignore_result=True, task_default_queue="by-hand")
    infer = app.task(name="by_hand.infer")(_not_here)
    with app.producer_or_acquire() as producer:
        producer.connection.ensure_connection()
        producer.channel.client.ping()
    begin()
    for number in range(tasks):
        infer.apply_async((number, row))
    app.close()


def _not_here(number: int, row: list[float]) -> None:
    raise NotImplementedError("the task is defined in the worker")


@contextmanager
def by_hand(client: Client) -> Iterator[ByHand]:
    """Run such a worker, and make its table."""
    settings = client.settings
    with (
        tempfile.TemporaryDirectory() as folder,
        psycopg.connect(owner_url(client), autocommit=True) as conn,
    ):
        conn.execute("CREATE TABLE by_hand (number bigint, output jsonb)")
        Path(folder, "by_hand.py").write_text(textwrap.dedent(TASKS))
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "by_hand", "worker", "-c", "1", "-l", "ERROR", "-Q", "by-hand"],
            cwd=folder,
            env={
                **{"BROKER": settings.redis_url, "DATABASE": owner_url(client)},
                **{"PATH": "/usr/bin:/bin", "C_FORCE_ROOT": "1"},
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield ByHand(settings.redis_url, conn)
        finally:
            worker.terminate()
            worker.wait()
