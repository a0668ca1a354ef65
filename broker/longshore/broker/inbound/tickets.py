"""Tickets as they come out of a queue: what of a message is passed on to Celery."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from uuid import UUID, uuid4

import msgpack

from longshore.broker.coalescing_key import CoalescingKey
from longshore.broker.inbound.malformed import Malformed, as_object, as_text, parse_object, safe_name, unpack
from longshore.broker.priorities import PRIORITY_STEPS
from longshore.broker.queues import QUEUES
from longshore.broker.tickets import TASK_PREFIX
from longshore.shared.ledger.shards.batching import MAX_BATCH_SHARDS
from longshore.shared.vocabulary import Action

#: The tasks that are served. None of Celery's own is.
TASKS = frozenset(TASK_PREFIX + action for action in Action)
#: Characters of the line for people that Flower shows.
MAX_LABEL_CHARS = 300
#: The largest shard index: an integer in Postgres.
_MAX_INDEX = 2**31 - 1
_BATCH_KEY = re.compile(r"[0-9a-f]{32}")
#: What a message can ask of Celery after the task. Ours ask for nothing.
_NO_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def check_ticket(raw: object, queue: str) -> dict[str, object]:
    """Check a message of a queue, and build the one that Celery gets.

    Only the task, its id, the shards, the coalescing key, the priority and the label are taken from the message.
    Everything that carries authority over a worker (time limits, ``eta``, ``expires``, retries, callbacks, groups,
    ``reply_to``) is left out, and so is the delivery tag, which another message may have.

    :param raw: the element of the Redis list.
    :param queue: the queue it was taken from.
    :raises Malformed: it is not a ticket.
    """
    return check_ticket_object(parse_object(raw), queue)


def check_ticket_object(message: Mapping[str, object], queue: str) -> dict[str, object]:
    """As :func:`check_ticket`, for a message that is parsed already."""
    headers = as_object(message.get("headers"), "no headers")
    properties = as_object(message.get("properties"), "no properties")
    task = headers.get("task")
    if not isinstance(task, str) or task not in TASKS:
        raise Malformed(f"unknown task {safe_name(task) or '(no name)'}")
    task_id = str(_uuid(headers.get("id"), "the task id is no UUID"))
    arguments = _arguments(message, properties)
    priority = properties.get("priority")
    body = msgpack.packb((arguments, {}, _NO_EMBED))
    return {
        "body": b64encode(body).decode(),
        "content-type": "application/x-msgpack",
        "content-encoding": "binary",
        "headers": {
            "lang": "py",
            "task": task,
            "id": task_id,
            "shadow": None,
            "eta": None,
            "expires": None,
            "group": None,
            "group_index": None,
            "retries": 0,
            "timelimit": [None, None],
            "root_id": task_id,
            "parent_id": None,
            "argsrepr": _label(headers.get("argsrepr")),
            "kwargsrepr": "",
            "origin": "",
            "ignore_result": True,
            "replaced_task_nesting": 0,
            "stamped_headers": None,
            "stamps": {},
        },
        "properties": {
            "correlation_id": task_id,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": priority if _is_priority(priority) else PRIORITY_STEPS[-1],
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }


def _arguments(message: Mapping[str, object], properties: Mapping[str, object]) -> list[object]:
    """The arguments of the task: ``[shard ids]`` or ``[shard ids, coalescing key]``."""
    if message.get("content-type") != "application/x-msgpack" or properties.get("body_encoding") != "base64":
        raise Malformed("not in msgpack and base64")
    body = unpack(message.get("body"))
    if not isinstance(body, list) or len(body) != 3 or not isinstance(body[0], list) or not 1 <= len(body[0]) <= 2:
        raise Malformed("the body has other arguments")
    shard_ids, *rest = body[0]
    if not isinstance(shard_ids, list) or not 1 <= len(shard_ids) <= MAX_BATCH_SHARDS:
        raise Malformed("the body names no shards, or too many")
    return [[_shard_id(item) for item in shard_ids], *(_coalescing_key(item) for item in rest)]


def _shard_id(item: object) -> list[str | int]:
    if not isinstance(item, list) or len(item) != 2:
        raise Malformed("a shard id has another form")
    index = item[1]
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index <= _MAX_INDEX:
        raise Malformed("a shard index is no index")
    return [str(_uuid(item[0], "a job id is no UUID")), index]


def _coalescing_key(value: object) -> str:
    try:
        key = CoalescingKey.parse(as_text(value, "the coalescing key has another form"))
    except ValueError:
        raise Malformed("the coalescing key has another form") from None
    if key.queue not in QUEUES or key.priority not in PRIORITY_STEPS or not _BATCH_KEY.fullmatch(key.batch_key):
        raise Malformed("the coalescing key has another form")
    return str(key)


def _uuid(value: object, reason: str) -> UUID:
    if isinstance(value, str) and len(value) == 36:
        try:
            return UUID(value)
        except ValueError:
            pass
    raise Malformed(reason)


def _is_priority(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in PRIORITY_STEPS


def _label(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(char for char in value[:MAX_LABEL_CHARS] if char.isprintable())
