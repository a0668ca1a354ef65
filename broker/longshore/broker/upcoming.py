"""The messages that workers take next, as far as the relay has to know them to find out which are lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from celery import Celery

from longshore.broker.inbound.malformed import Malformed, parse_object, unpack
from longshore.broker.priorities import to_broker
from longshore.broker.redis_errors import redis_errors
from longshore.broker.tickets import parse_shard_ids

#: Messages that are looked at. A queue with no more is known completely.
MAX_PEEKED: Final = 50


@dataclass(frozen=True)
class Upcoming:
    """The messages of one queue and one priority that workers take next, in this order."""

    #: The id of each message, and the job and the index of the first shard that it names.
    messages: tuple[tuple[UUID, UUID, int], ...]
    #: Whether the queue has no others.
    complete: bool


def peek(app: Celery, queue: str, priority: int) -> Upcoming:
    """Look at the next messages of a queue. What is no ticket is left out: it leads to no shard.

    :param priority: a user's.
    :raises ServiceUnavailable: Redis cannot be reached.
    """
    with redis_errors(), app.connection_for_write() as connection:
        found = connection.default_channel.peek(queue, to_broker(priority), MAX_PEEKED + 1)
    tickets = (_read(raw) for raw in found[:MAX_PEEKED])
    return Upcoming(tuple(ticket for ticket in tickets if ticket is not None), len(found) <= MAX_PEEKED)


def _read(raw: object) -> tuple[UUID, UUID, int] | None:
    try:
        message = parse_object(raw)
        headers, body = message.get("headers"), unpack(message.get("body"))
        if not isinstance(headers, dict) or not isinstance(body, list):
            return None
        job, shard = parse_shard_ids(body[0][0][:1])[0]
        return UUID(str(headers.get("id"))), job, shard
    # The message may be anybody's.
    except (Malformed, ValueError, TypeError, LookupError):
        return None
