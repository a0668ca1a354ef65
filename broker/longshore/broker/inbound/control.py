"""Remote-control messages: which of them a worker obeys.

Celery's remote control can stop workers, change their queues and end their tasks, for everybody who can publish to
Redis. By default a worker only answers questions, which is what Flower asks.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from enum import StrEnum
from uuid import uuid4

import msgpack

from longshore.broker.inbound.malformed import Malformed, as_object, parse_object, safe_name, unpack
from longshore.broker.queues import CONTROL_EXCHANGE, REPLY_EXCHANGE
from longshore.shared.errors import InvalidInput

#: The variable with the mode.
VARIABLE = "LONGSHORE_REMOTE_CONTROL"
#: The questions, which change nothing. Not among them: ``hello``, which takes over revoked tasks; ``objgraph``
#: and ``memdump``, which write files or stop the worker for a while; ``report``, which prints the settings.
QUESTIONS = frozenset(
    {
        "active",
        "active_queues",
        "clock",
        "conf",
        "dump_active",
        "dump_reserved",
        "dump_revoked",
        "dump_schedule",
        "ping",
        "query_task",
        "registered",
        "dump_tasks",
        "list_tasks",
        "reserved",
        "revoked",
        "scheduled",
        "stats",
    }
)
#: Items of a list in a question: worker names or task ids.
MAX_ITEMS = 1000
_TOKEN = re.compile(r"[A-Za-z0-9_.@:-]{1,200}")


class RemoteControl(StrEnum):
    """What workers do when asked over Redis."""

    #: Answer questions, and obey no command.
    INSPECT = "inspect"
    #: Obey every command of Celery.
    ALL = "all"


def remote_control(environ: Mapping[str, str]) -> RemoteControl:
    """The mode that ``LONGSHORE_REMOTE_CONTROL`` sets; by default ``inspect``.

    :raises InvalidInput: it has another value.
    """
    text = environ.get(VARIABLE) or RemoteControl.INSPECT
    if text not in set(RemoteControl):
        raise InvalidInput(VARIABLE, f"{text[:40]!r}: write {' or '.join(RemoteControl)}")
    return RemoteControl(text)


def check_control(raw: object, mode: RemoteControl) -> dict[str, object]:
    """Check a remote-control message, and build the one that Celery gets.

    :param raw: the payload of the Redis channel.
    :raises Malformed: it is no such message, or a command that is not enabled.
    """
    message = parse_object(raw)
    properties = as_object(message.get("properties"), "no properties")
    if message.get("content-type") != "application/x-msgpack" or properties.get("body_encoding") != "base64":
        raise Malformed("remote control: not in msgpack and base64")
    command = as_object(unpack(message.get("body")), "remote control: no command")
    headers = message.get("headers")
    clock = headers.get("clock") if isinstance(headers, dict) else None
    return {
        "body": b64encode(msgpack.packb(_command(command, mode))).decode(),
        "content-type": "application/x-msgpack",
        "content-encoding": "binary",
        "headers": {"clock": clock if isinstance(clock, int) and 0 <= clock < 2**53 else 0},
        "properties": {
            "delivery_mode": 2,
            "delivery_info": {"exchange": CONTROL_EXCHANGE, "routing_key": ""},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }


def _command(command: Mapping[str, object], mode: RemoteControl) -> dict[str, object]:
    method = command.get("method")
    if not isinstance(method, str):
        raise Malformed("remote control: no method")
    if mode is RemoteControl.INSPECT and method not in QUESTIONS:
        raise Malformed(f"remote control: {safe_name(method) or '(no name)'} is not enabled")
    if command.get("pattern") or command.get("matcher"):
        # Patterns are expressions that may take for ever to match.
        raise Malformed("remote control: a pattern of names")
    arguments = command.get("arguments") or {}
    return {
        "method": method,
        "arguments": _arguments(method, as_object(arguments, "remote control: arguments"), mode),
        # None: for all workers.
        "destination": _tokens(command.get("destination")),
        "pattern": None,
        "matcher": None,
        "ticket": _token(command.get("ticket")),
        "reply_to": _reply_to(command.get("reply_to")),
    }


def _arguments(method: str, arguments: Mapping[str, object], mode: RemoteControl) -> dict[str, object]:
    if mode is RemoteControl.ALL:
        return dict(arguments)
    if method == "query_task":
        return {"ids": _tokens(arguments.get("ids")) or []}
    if method == "conf":
        return {"with_defaults": arguments.get("with_defaults") is True}
    return {}


def _reply_to(value: object) -> dict[str, object] | None:
    if value is None:
        return None
    address = as_object(value, "remote control: reply_to")
    routing_key = _token(address.get("routing_key"))
    # Only there: an answer must never arrive in a queue of tickets.
    if address.get("exchange") != REPLY_EXCHANGE or routing_key is None:
        raise Malformed("remote control: reply_to")
    return {"exchange": REPLY_EXCHANGE, "routing_key": routing_key}


def _tokens(value: object) -> list[str] | None:
    if value is None:
        return None
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or len(items) > MAX_ITEMS or not all(map(_is_token, items)):
        raise Malformed("remote control: a list of names")
    return items


def _token(value: object) -> str | None:
    if value is None:
        return None
    if not _is_token(value):
        raise Malformed("remote control: a name")
    return str(value)


def _is_token(value: object) -> bool:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None
