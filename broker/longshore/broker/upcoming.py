"""The messages that workers take next: the relay finds out which are lost, and removes those that lead to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from celery import Celery

from longshore.broker.inbound.malformed import Malformed, parse_object, unpack
from longshore.broker.priorities import to_broker
from longshore.broker.redis_errors import redis_errors
from longshore.broker.tickets import parse_shard_ids
from longshore.shared.ledger.ledger import Ledger

#: Messages that are looked at. A queue with no more is known completely.
MAX_PEEKED: Final = 50
#: A queue and priority with no more messages than this is not searched for stale ones; workers drop them in passing.
MAX_MESSAGES: Final = 1000
#: Shards whose messages are looked at in one search.
MAX_SEARCHED_SHARDS: Final = 20_000


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


def remove_stale(app: Celery, ledger: Ledger, queue: str, priority: int) -> int:
    """Remove messages of a long queue that name only shards which wait no more.

    A worker claims small shards whatever message names them, hundreds for one message that it takes. Under a load that
    never ends, the messages of the others would pile up without a limit. Those that stand for shards without a message
    of their own stay.

    :param priority: a user's.
    :returns: how many messages were removed. There may be more.
    :raises ServiceUnavailable: Redis or Postgres cannot be reached.
    """
    with redis_errors(), app.connection_for_write() as connection:
        found = connection.default_channel.peek(queue, to_broker(priority), MAX_MESSAGES + 1)
    if len(found) <= MAX_MESSAGES:
        return 0
    searched: list[bytes] = []
    names: list[tuple[int, UUID, int]] = []
    for raw in found:
        shards = _read_shards(raw)
        if len(names) + len(shards) > MAX_SEARCHED_SHARDS:
            break
        if shards:
            names += [(len(searched), job, shard) for job, shard in shards]
            searched.append(raw)
    waiting = ledger.maintenance.still_queued(names)
    stale = [raw for number, raw in enumerate(searched) if number not in waiting]
    if stale:
        with redis_errors(), app.connection_for_write() as connection:
            connection.default_channel.remove(queue, to_broker(priority), stale)
    return len(stale)


def _read_shards(raw: object) -> list[tuple[UUID, int]]:
    """The shards that a message names; none if it is no ticket, or also stands for others."""
    try:
        body = unpack(parse_object(raw).get("body"))
        if not isinstance(body, list) or len(body[0]) != 1:
            return []
        return parse_shard_ids(body[0][0])
    # The message may be anybody's.
    except (Malformed, ValueError, TypeError, LookupError):
        return []


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
