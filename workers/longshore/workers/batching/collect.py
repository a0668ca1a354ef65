"""Small shards that are batched: those coalesced behind one message, and those worth a short wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from longshore.broker.coalescing import Coalescer
from longshore.broker.coalescing_key import CoalescingKey
from longshore.broker.tickets import Message
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.records import Claim, Ticket
from longshore.shared.ledger.shards.batching import MAX_BATCH_ROWS, MAX_BATCH_SHARDS, is_full
from longshore.workers.context import WorkerContext
from longshore.workers.process.heartbeat import Heartbeat

log = logging.getLogger(__name__)

#: Seconds between two claims of more shards.
POLL_INTERVAL_S: Final = 0.01


def release_key(coalescer: Coalescer, key: CoalescingKey) -> None:
    """Delete the coalescing key of a message that was taken, before its shards are claimed."""
    try:
        coalescer.release(key)
    except ServiceUnavailable as error:
        log.warning("%s; for some seconds small shards wait for the relay", error)


def publish_rest(coalescer: Coalescer, key: CoalescingKey, name: tuple[UUID, int], claims: Sequence[Claim]) -> None:
    """Publish again if the claim may have left behind shards that have no message of their own.

    :param name: a shard that the message named: it leads to the others, whatever its state.
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


def collect(context: WorkerContext, claims: Sequence[Claim]) -> Sequence[Claim]:
    """Wait for more shards with the same batch key, as long as its jobs allow; not at all by default.

    Ends when the batch is full or the worker has to stop. The commit notices claims that were lost meanwhile.
    """
    first = claims[0]
    max_wait_ms = first.spec.get("max_wait_ms", 0)
    if first.batch_key is None or first.attempt > 1 or not isinstance(max_wait_ms, int) or not max_wait_ms:
        return claims
    batch = list(claims)
    deadline = time.monotonic() + max_wait_ms / 1000
    with Heartbeat(context.ledger, batch, context.worker.lease, context.draining, context.shown) as beat:
        while not is_full(len(batch), _rows(batch)) and (left := deadline - time.monotonic()) > 0:
            context.shown.progress()
            if context.draining.wait(min(POLL_INTERVAL_S, left)):
                break
            more = _claim_more(context, batch)
            context.shown.waiting(more)
            beat.add(more)
            batch += more
    return batch


def _claim_more(context: WorkerContext, batch: Sequence[Claim]) -> list[Claim]:
    try:
        return context.ledger.attempts.claim_more(
            *(batch[0], MAX_BATCH_SHARDS - len(batch), MAX_BATCH_ROWS - _rows(batch)),
            worker=context.worker.name,
            lease=context.worker.lease,
        )
    except ServiceUnavailable as error:
        log.warning("%s; no shard joins the batch of %s now", error, batch[0].token)
        return []


def _rows(claims: Sequence[Claim]) -> int:
    return sum(claim.stop - claim.start for claim in claims)
