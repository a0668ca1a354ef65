"""What a team writes itself: one Celery task a request, the model kept in the worker, an INSERT a result."""

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


class ByHand:
    """A worker of that kind at work; each measure gives requests a second, from the first to the last result."""

    def __init__(self, redis_url: str, link: psycopg.Connection[tuple[object, ...]]) -> None:
        self._redis_url = redis_url
        self._link = link

    def alone(self, tasks: int) -> float:
        """From this process."""
        self._link.execute("TRUNCATE by_hand")
        start = time.perf_counter()
        send(self._redis_url, tasks)
        return self._until_the_last(tasks, start)

    def crowded(self, crowd: Crowd, tasks: int) -> float:
        """From many processes at once."""
        self._link.execute("TRUNCATE by_hand")
        start = crowd.start()
        return self._until_the_last(tasks, start)

    def _until_the_last(self, tasks: int, start: float) -> float:
        while self._link.execute("SELECT count(*) FROM by_hand").fetchall()[0][0] != tasks:
            time.sleep(0.005)
        return tasks / (time.perf_counter() - start)


def send(redis_url: str, tasks: int, begin: Callable[[], object] = lambda: None) -> None:
    """One ``apply_async`` a request.

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
    raise NotImplementedError("the worker has it")


@contextmanager
def by_hand(client: Client) -> Iterator[ByHand]:
    """With its worker and its table."""
    settings = client.settings
    with (
        tempfile.TemporaryDirectory() as folder,
        psycopg.connect(settings.database_url, autocommit=True) as link,
    ):
        link.execute("CREATE TABLE by_hand (number bigint, output jsonb)")
        Path(folder, "by_hand.py").write_text(textwrap.dedent(TASKS))
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "by_hand", "worker", "-c", "1", "-l", "ERROR", "-Q", "by-hand"],
            cwd=folder,
            env={
                **{"BROKER": settings.redis_url, "DATABASE": settings.database_url},
                **{"PATH": "/usr/bin:/bin", "C_FORCE_ROOT": "1"},
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield ByHand(settings.redis_url, link)
        finally:
            worker.terminate()
            worker.wait()
