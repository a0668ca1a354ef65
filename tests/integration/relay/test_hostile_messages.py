"""Whoever can write to Redis cannot stop a worker, and cannot make it do anything but look at a shard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import cast
from uuid import uuid4

import pytest
import redis
from celery import Celery

from longshore.broker.app import make_app
from longshore.producers import Client
from longshore.producers.cli.checks.check import Check, Level
from longshore.producers.cli.checks.remote_control import check_remote_control
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.raw_tickets import raw_ticket
from tests.waiting import TIMEOUT_S, wait_until

pytestmark = pytest.mark.usefixtures("digits_version")


@pytest.fixture
def queue(cluster: Cluster) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(cluster.settings.redis_url) as client:
        yield client


@pytest.fixture
def control(cluster: Cluster) -> Iterator[Celery]:
    app = make_app(cluster.settings)
    yield app
    app.close()


def message(
    task: str = "longshore.infer",
    *,
    headers: Mapping[str, object] | None = None,
    properties: Mapping[str, object] | None = None,
    fields: Mapping[str, object] | None = None,
) -> bytes:
    """A message as Celery writes it, with some of its fields changed."""
    plain = raw_ticket(task)
    changed = {"headers": headers or {}, "properties": properties or {}}
    value = {**plain, **{part: {**cast(dict[str, object], plain[part]), **changed[part]} for part in changed}}
    return json.dumps({**value, **(fields or {})}).encode()


HOSTILE = {
    "bad base64": message(fields={"body": "%%%"}),
    "unknown body encoding": message(properties={"body_encoding": "rot13"}),
    "time limit of another type": message(headers={"timelimit": "x"}),
    "time limit of a millisecond": message(headers={"timelimit": [0.001, 0.001]}),
    "id of another type": message(headers={"id": {}}),
    "eta": message(headers={"eta": "9999-99-99"}),
    "expires": message(headers={"expires": {}}),
    "no JSON": b"\x00\xff not JSON",
    "deep": b"[" * 100_000,
    "large": b"x" * 5_000_000,
    "pickle": message(fields={"content-type": "application/x-python-serialize"}),
    "compressed": message(headers={"compression": "application/x-gzip"}),
    "cleanup": message("celery.backend_cleanup"),
    "chain": message("celery.chain"),
    "unknown": message("someone.elses.task"),
    "reply": message(properties={"reply_to": "cpu", "correlation_id": 7}),
}


def works(client: Client) -> None:
    """Run a job to its end."""
    images, _ = digits.digits()
    client.infer("digits", images[:2]).wait(TIMEOUT_S)


def test_messages_that_fail_before_their_task_are_dropped(cluster: Cluster, client: Client, queue: redis.Redis) -> None:
    works(client)
    before = cluster.worker_pids(), cluster.child_pids()
    for raw in HOSTILE.values():
        queue.lpush("cpu", raw)
        queue.lpush("cpu\x06\x169", raw)
    works(client)
    wait_until(lambda: queue.llen("cpu") == 0 and queue.hlen("unacked") == 0, "the end of the messages")
    works(client)
    assert (cluster.worker_pids(), cluster.child_pids()) == before
    log = cluster.log("workers")
    assert "Traceback" not in log
    assert "dropped a message from queue cpu: " in log


def test_many_unknown_tasks_write_few_lines(cluster: Cluster, client: Client, queue: redis.Redis) -> None:
    before = len(cluster.log("workers"))
    with queue.pipeline(transaction=False) as pipe:
        for _ in range(10_000):
            pipe.lpush("cpu", message("unknown.task"))
        pipe.execute()
    wait_until(lambda: queue.llen("cpu") == 0, "the end of the messages")
    works(client)
    assert len(cluster.log("workers")) - before < 20_000


def test_a_value_of_another_type_in_the_place_of_a_queue_is_removed(
    cluster: Cluster, client: Client, queue: redis.Redis
) -> None:
    before = cluster.worker_pids()
    for key in ("cpu\x06\x169", "unacked", "unacked_index"):
        queue.delete(key)
        queue.set(key, "hostile")
    works(client)
    assert cluster.worker_pids() == before
    assert "Traceback" not in cluster.log("workers")


def test_hostile_unacknowledged_messages_are_dropped(cluster: Cluster, client: Client, queue: redis.Redis) -> None:
    for tag, stored in {"a": b"not JSON", "b": json.dumps([{}, "", "elsewhere"]).encode()}.items():
        queue.hset("unacked", tag, stored)
        queue.zadd("unacked_index", {tag: 1})
    # A worker looks for such messages when it starts.
    cluster.restart_workers()
    wait_until(lambda: queue.hlen("unacked") == 0, "the end of the messages")
    works(client)
    assert "Traceback" not in cluster.log("workers")


COMMANDS: Mapping[str, Mapping[str, object]] = {
    "shutdown": {},
    "pool_restart": {"modules": ["os"]},
    "pool_grow": {"n": 3},
    "pool_shrink": {"n": 1},
    "autoscale": {"max": 9, "min": 3},
    "add_consumer": {"queue": "elsewhere"},
    "cancel_consumer": {"queue": "cpu"},
    "rate_limit": {"task_name": "longshore.infer", "rate_limit": "1/h"},
    "time_limit": {"task_name": "longshore.infer", "hard": 0.001, "soft": 0.001},
    "revoke": {"task_id": str(uuid4()), "terminate": True},
    "terminate": {"signal": "KILL", "task_id": str(uuid4())},
    "disable_events": {},
    "election": {"id": "1", "topic": "x"},
    "hello": {"from_node": "x", "revoked": {}},
    "memdump": {},
    "report": {},
    "no_such_command": {},
}


def test_remote_control_answers_questions_and_obeys_no_command(
    cluster: Cluster, client: Client, control: Celery
) -> None:
    works(client)
    before = cluster.worker_pids(), cluster.child_pids()
    for command, arguments in COMMANDS.items():
        control.control.broadcast(command, arguments=dict(arguments))
    assert not control.control.broadcast("shutdown", reply=True, timeout=0.5)
    inspect = control.control.inspect(timeout=5, limit=1)
    [queues] = (inspect.active_queues() or {}).values()
    assert [queue["name"] for queue in queues] == ["cpu"]
    [stats] = (inspect.stats() or {}).values()
    assert stats["pool"]["max-concurrency"] == 1
    works(client)
    assert (cluster.worker_pids(), cluster.child_pids()) == before
    assert "Traceback" not in cluster.log("workers")


def test_hostile_payloads_in_the_remote_control_are_dropped(
    cluster: Cluster, client: Client, queue: redis.Redis, control: Celery
) -> None:
    database = cluster.settings.redis_url.rsplit("/", 1)[1]
    for raw in [*HOSTILE.values(), b"[]", b'{"properties": {}}']:
        assert queue.publish(f"/{database}.celery.pidbox", raw) == 1
    assert control.control.inspect(timeout=5, limit=1).ping()
    works(client)
    assert "Traceback" not in cluster.log("workers")


def answer_to(check: Check) -> tuple[Level, str]:
    return check.level, check.detail


def test_doctor_finds_no_worker_that_obeys_commands(cluster: Cluster) -> None:
    # A busy machine may answer too late for one look.
    expected = (Level.OK, "1 worker answers questions; no commands over Redis are obeyed")
    wait_until(lambda: answer_to(check_remote_control(cluster.settings)) == expected, "the worker's answer")
