"""Small shards that are batched: those coalesced behind one message, and those worth a short wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from longshore.broker.coalescing import Coalescer, CoalescingKey
from longshore.broker.tickets import Message
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.records import Claim, Ticket
from longshore.shared.ledger.shards.batching import MAX_BATCH_ROWS, MAX_BATCH_SHARDS, is_full
from longshore.workers.context import WorkerContext
from longshore.workers.process.heartbeat import Heartbeat

log = logging.getLogger("longshore.worker")

#: Seconds between two looks for more shards.
LOOK: Final = 0.01


def release_key(coalescer: Coalescer, key: CoalescingKey) -> None:
    """Delete the coalescing key of a message that was taken, before its shards are claimed."""
    try:
        coalescer.release(key)
    except ServiceUnavailable as error:
        log.warning("%s; for some seconds small shards wait for the relay", error)


def publish_rest(coalescer: Coalescer, key: CoalescingKey, name: tuple[UUID, int], claims: Sequence[Claim]) -> None:
    """Publish again if the claim may have left behind shards that have no message of their own.

    :param name: a shard that the message named: it leads to the others, whatever has become of it.
    """
    tried = any(claim.attempt > 1 for claim in claims)
    if not claims or not (tried or is_full(len(claims), _rows(claims))):
        return
    first = claims[0]
    ticket = Ticket(
        *(*name, first.action, key.queue, key.priority, first.start, first.stop, first.model, first.version),
        batch_key=key.batch_key,
    )
    try:
        coalescer.publish(Message((ticket,)))
    except ServiceUnavailable as error:
        log.warning("%s; the relay will publish what is left", error)


def gather(context: WorkerContext, claims: Sequence[Claim]) -> Sequence[Claim]:
    """Wait for more shards with the same batch key, as long as its jobs allow; not at all by default.

    Ends when the group is full or the worker is to stop. What was lost meanwhile is found out at the commit.
    """
    first = claims[0]
    allowed = first.spec.get("max_wait_ms", 0)
    if first.batch_key is None or first.attempt > 1 or not isinstance(allowed, int) or not allowed:
        return claims
    found = list(claims)
    until = time.monotonic() + allowed / 1000
    with Heartbeat(context.ledger, found, context.worker.lease, context.draining) as beat:
        while not is_full(len(found), _rows(found)) and (left := until - time.monotonic()) > 0:
            if context.draining.wait(min(LOOK, left)):
                break
            more = _more(context, found)
            beat.add(more)
            found += more
    return found


def _more(context: WorkerContext, found: Sequence[Claim]) -> list[Claim]:
    try:
        return context.ledger.attempts.claim_more(
            *(found[0], MAX_BATCH_SHARDS - len(found), MAX_BATCH_ROWS - _rows(found)),
            worker=context.worker.name,
            lease=context.worker.lease,
        )
    except ServiceUnavailable as error:
        log.warning("%s; nobody joins %s now", error, found[0].token)
        return []


def _rows(claims: Sequence[Claim]) -> int:
    return sum(claim.stop - claim.start for claim in claims)
