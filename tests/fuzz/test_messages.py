"""Random and damaged messages in the queues and the remote control, through kombu and Celery as in a worker.

Each example is put into Redis as it is. The worker's side takes all of it: what it passes on to Celery must be a ticket
that asks for nothing but its shards, and whatever else happens must be that the message is dropped.
"""

from __future__ import annotations

import json
import os
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgpack
import pytest
from celery import Celery
from celery.worker.request import Request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu import Consumer, Queue  # type: ignore[attr-defined]
from redis import Redis

from longshore.broker.app import make_app
from longshore.broker.inbound.control import QUESTIONS, RemoteControl, check_control
from longshore.broker.inbound.dropped import DROPPED
from longshore.broker.inbound.malformed import Malformed
from longshore.broker.inbound.tickets import TASKS
from longshore.broker.tickets import parse_shard_ids
from longshore.shared.settings import Settings
from tests.own_redis import OwnRedis
from tests.raw_tickets import raw_ticket
from tests.waiting import TIMEOUT_S

#: Examples of a test; ``LONGSHORE_FUZZ_SCALE=1000`` runs a thousand times as many.
EXAMPLES = 200 * int(os.environ.get("LONGSHORE_FUZZ_SCALE", "1"))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(sorted(TASKS)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@dataclass
class Consuming:
    """A worker's side of the queues: what Celery would be given."""

    app: Celery
    redis: Redis
    requests: list[Request]

    def consume(self, raw: bytes) -> list[Request]:
        """Put a message into the queue, and take until nothing is left. Returns what reached Celery."""
        self.requests.clear()
        self.redis.lpush("cpu", raw)
        while self.redis.llen("cpu"):
            self.connection.drain_events(timeout=TIMEOUT_S)
        return list(self.requests)

    def __post_init__(self) -> None:
        self.connection = self.app.connection_for_read()
        queues = [Queue("cpu")]  # type: ignore[no-untyped-call]
        channel = self.connection.channel()
        self.consumer = Consumer(channel, queues, accept=["msgpack"], on_message=self._receive)  # type: ignore[no-untyped-call]
        self.consumer.consume()  # type: ignore[no-untyped-call]

    def _receive(self, message: object) -> None:
        task = self.app.tasks["longshore.infer"]
        request = Request(
            message,
            app=self.app,
            task=task,
            hostname="fuzz",
            body=message.body,  # type: ignore[attr-defined]
            headers=message.headers,  # type: ignore[attr-defined]
            decoded=False,
        )
        request.shards = parse_shard_ids(message.decode()[0][0])  # type: ignore[attr-defined]
        message.ack()  # type: ignore[attr-defined]
        self.requests.append(request)


def nothing(*arguments: object) -> None:
    """The body of the tasks."""


@pytest.fixture(scope="module")
def consuming() -> Iterator[Consuming]:
    with tempfile.TemporaryDirectory() as folder, OwnRedis(Path(folder)) as own:
        addresses = Settings(redis_url=own.url, database_url="", store="", producer="fuzz")
        app = make_app(addresses)
        for name in TASKS:
            app.task(name=name)(nothing)
        app.finalize()
        consuming = Consuming(app, own.client(), [])
        yield consuming
        consuming.connection.release()
        consuming.redis.close()
        app.close()


#: Where a message is changed: a field, or a field of ``headers`` or ``properties``.
FIELDS: list[tuple[str, ...]] = [(key,) for key in raw_ticket()]
FIELDS += [
    (part, key)
    for part in ("headers", "properties")
    for key in [*raw_ticket()[part], "compression", "chord", "group", "root_id", "stamps", "callbacks"]  # type: ignore[misc]
]


def check(consuming: Consuming, raw: bytes) -> None:
    dropped = DROPPED.total
    requests = consuming.consume(raw)
    assert len(requests) + DROPPED.total - dropped == 1
    for request in requests:
        assert request.name in TASKS
        assert UUID(request.id)
        assert request.time_limits == [None, None]
        assert (request.eta, request.expires, request.chord, request.group) == (None, None, None, None)
        assert request.request_dict.get("retries") == 0
        assert request.reply_to == ""
        assert 1 <= len(request.shards) <= 512
    assert consuming.redis.hlen("unacked") == 0


@given(raw=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_dropped(consuming: Consuming, raw: bytes) -> None:
    assert consuming.consume(raw) == []


@given(changes=st.lists(st.tuples(st.sampled_from(FIELDS), JSON), min_size=1, max_size=3))
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_changed_ticket_is_dropped_or_asks_for_nothing_but_its_shards(
    consuming: Consuming, changes: list[tuple[tuple[str, ...], object]]
) -> None:
    message = raw_ticket()
    for path, value in changes:
        target: object = message
        for key in path[:-1]:
            target = target.get(key) if isinstance(target, dict) else None
        if isinstance(target, dict):
            target[path[-1]] = value
    check(consuming, json.dumps(message).encode())


@given(body=JSON | st.tuples(JSON, JSON, JSON) | st.tuples(st.tuples(JSON), st.just({}), JSON))
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_ticket_with_another_body_is_dropped_or_names_shards(consuming: Consuming, body: object) -> None:
    try:
        packed = msgpack.packb(body)
    except (OverflowError, ValueError, UnicodeEncodeError):
        packed = b"\xc1"
    check(consuming, json.dumps({**raw_ticket(), "body": b64encode(packed).decode()}).encode())


@given(at=st.integers(0, 2000), byte=st.integers(0, 255), length=st.integers(0, 2000))
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_ticket_with_damaged_bytes_is_dropped_or_names_shards(
    consuming: Consuming, at: int, byte: int, length: int
) -> None:
    raw = bytearray(json.dumps(raw_ticket()).encode())
    raw[at % len(raw)] = byte
    check(consuming, bytes(raw[: max(1, length)]))


@given(
    command=JSON
    | st.fixed_dictionaries(
        {},
        optional={
            "method": JSON | st.sampled_from(["ping", "shutdown", "revoke", "conf", "query_task"]),
            "arguments": JSON,
            "destination": JSON,
            "pattern": JSON,
            "matcher": JSON,
            "ticket": JSON,
            "reply_to": JSON | st.fixed_dictionaries({"exchange": JSON, "routing_key": JSON}),
        },
    ),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_remote_control_message_is_dropped_or_a_question(command: object) -> None:
    try:
        body = b64encode(msgpack.packb(command)).decode()
    except (OverflowError, ValueError, UnicodeEncodeError):
        body = ""
    properties = {"body_encoding": "base64"}
    raw = json.dumps({"body": body, "content-type": "application/x-msgpack", "properties": properties, "headers": {}})
    try:
        clean = check_control(raw, RemoteControl.INSPECT)
    except Malformed:
        return
    assert isinstance(command, dict)
    assert command["method"] in QUESTIONS
    assert clean["content-type"] == "application/x-msgpack"


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"1" * 200_000,
        b"x" * 10_000_000,
        b"\xff\xfe\x00",
        b"",
        b"null",
        b"NaN",
        b'{"headers": {}, "properties": {}}',
    ],
    ids=["nested list", "nested object", "long number", "10 MB", "no text", "empty", "null", "NaN", "empty object"],
)
def test_extreme_messages_are_dropped(consuming: Consuming, raw: bytes) -> None:
    assert consuming.consume(raw) == []
    assert len(consuming.consume(json.dumps(raw_ticket()).encode())) == 1
