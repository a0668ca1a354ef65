"""Messages as Celery writes them, for tests that change some of their fields."""

from __future__ import annotations

from base64 import b64encode
from uuid import uuid4

import msgpack


def raw_ticket(task: str = "longshore.infer", *, priority: int = 0) -> dict[str, object]:
    """A message of the queue ``cpu`` that names one shard, which does not exist."""
    identity = str(uuid4())
    body: object = ([[[str(uuid4()), 0]]], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None})
    return {
        "body": b64encode(msgpack.packb(body)).decode(),
        "content-type": "application/x-msgpack",
        "content-encoding": "binary",
        "headers": {
            "lang": "py",
            "task": task,
            "id": identity,
            "timelimit": [None, None],
            "eta": None,
            "expires": None,
            "retries": 0,
            "argsrepr": "digits:1 rows 0-1",
        },
        "properties": {
            "correlation_id": identity,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "cpu"},
            "priority": priority,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }
