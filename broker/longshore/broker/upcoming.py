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
#: Messages of one search, and shards that they name at most: as many as a few milliseconds are enough for.
MAX_SEARCHED: Final = 100
MAX_SEARCHED_SHARDS: Final = 2000


@dataclass(frozen=True)
class Upcoming:
    """The messages of one queue and one priority that workers take next, in this order."""

    #: The id of each message, and the job and the index of the first shard that it names.
    messages: tuple[tuple[UUID, UUID, int], ...]
    #: Whether the queue has no others.
    complete: bool


@dataclass(frozen=True)
class _Ticket:
    """What a message says."""

    id: UUID
    shards: list[tuple[UUID, int]]
    #: Whether it also stands for shards without a message of their own.
    coalesced: bool


def peek(app: Celery, queue: str, priority: int) -> Upcoming:
    """Look at the next messages of a queue. What is no ticket is left out: it leads to no shard.

    :param priority: a user's.
    :raises ServiceUnavailable: Redis cannot be reached.
    """
    with redis_errors(), app.connection_for_write() as connection:
        found = connection.default_channel.peek(queue, to_broker(priority), MAX_PEEKED + 1)
    tickets = [ticket for raw in found[:MAX_PEEKED] if (ticket := _read(raw)) is not None]
    return Upcoming(tuple((ticket.id, *ticket.shards[0]) for ticket in tickets), len(found) <= MAX_PEEKED)


def remove_stale(app: Celery, ledger: Ledger, queue: str, priority: int) -> int:
    """Remove messages of a long queue that name only shards which wait no more.

    A worker claims small shards whatever message names them, hundreds for one message that it takes. Under a load that
    never ends, the messages of the others would pile up without a limit. Those that stand for shards without a message
    of their own stay. The search goes on as long as all that it finds is stale.

    :param priority: a user's.
    :returns: how many messages were removed.
    :raises ServiceUnavailable: Redis or Postgres cannot be reached.
    """
    removed = 0
    with redis_errors(), app.connection_for_write() as connection:
        channel = connection.default_channel
        while channel.length(queue, to_broker(priority)) > MAX_MESSAGES:
            searched = _searched(channel.peek(queue, to_broker(priority), MAX_SEARCHED))
            waiting = ledger.maintenance.still_queued([ticket.shards for _, ticket in searched])
            stale = [raw for number, (raw, _) in enumerate(searched) if number not in waiting]
            if stale:
                channel.remove(queue, to_broker(priority), stale)
            removed += len(stale)
            if waiting or not stale:
                break
    return removed


def _searched(found: list[bytes]) -> list[tuple[bytes, _Ticket]]:
    """The messages that can be stale, with what they say."""
    searched: list[tuple[bytes, _Ticket]] = []
    shards = 0
    for raw in found:
        ticket = _read(raw)
        if ticket is None or ticket.coalesced:
            continue
        shards += len(ticket.shards)
        if searched and shards > MAX_SEARCHED_SHARDS:
            break
        searched.append((raw, ticket))
    return searched


def _read(raw: object) -> _Ticket | None:
    """``None``: the message is no ticket. It may be anybody's."""
    try:
        message = parse_object(raw)
        headers, body = message.get("headers"), unpack(message.get("body"))
        if not isinstance(headers, dict) or not isinstance(body, list):
            return None
        shards = parse_shard_ids(body[0][0])
        return _Ticket(UUID(str(headers.get("id"))), shards, len(body[0]) > 1) if shards else None
    except (Malformed, ValueError, TypeError, LookupError):
        return None
