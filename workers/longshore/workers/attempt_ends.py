"""How an attempt ends that was not committed: it failed, is handed back, or waits for the end of an outage."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from longshore.broker.logs import with_fields
from longshore.shared.errors import (
    CorruptBlob,
    DataError,
    InvalidInput,
    MissingBlob,
    MissingData,
    NotPromoted,
    ServiceUnavailable,
)
from longshore.shared.ledger.records import Claim
from longshore.shared.outages import is_outage
from longshore.workers.context import WorkerContext
from longshore.workers.process.heartbeat import ShardTimedOut
from longshore.workers.process.monitoring.cells import Count

log = logging.getLogger(__name__)

#: Errors that another attempt would meet again: the job fails at the first.
PERMANENT = (InvalidInput, NotPromoted, CorruptBlob, DataError)
#: Those among them that an outage can cause too: a worker looks again before it believes them.
LOOK_AGAIN = (MissingBlob, MissingData)
#: Characters of an error that are kept, at most.
MAX_ERROR_CHARS = 2000


@dataclass(frozen=True)
class Ran:
    """Shards that ran together, with others that joined them."""

    claims: Sequence[Claim]
    #: How those have ended of which it is known, in any order.
    ends: Sequence[Count]
    #: What monitors show of them besides.
    texts: Sequence[str] = ()


def end(context: WorkerContext, claim: Claim, error: Exception) -> Count:
    """End an attempt with an error, by its kind. Returns how it has ended, as the others here do."""
    if is_service_outage(error):
        return defer(context, claim, error, missing=False)
    if isinstance(error, LOOK_AGAIN):
        return defer(context, claim, error, missing=True)
    if isinstance(error, PERMANENT):
        return fail(context, claim, error, permanent=True)
    if not isinstance(error, ShardTimedOut):
        log.error("attempt %s failed", claim.token, exc_info=error, extra=_about(claim))
    return fail(context, claim, error, permanent=False)


def is_service_outage(error: Exception) -> bool:
    """Whether Postgres, the store or the data cannot be reached at the moment."""
    return isinstance(error, ServiceUnavailable) or is_outage(error)


def release(context: WorkerContext, claim: Claim) -> Count:
    """Hand a shard back; the attempt does not count."""
    context.metrics.count(Count.SHARDS_RELEASED)
    if _record(claim, lambda: context.ledger.attempts.release(claim)):
        log.info("released %s", claim.token, extra=_about(claim))
    return Count.SHARDS_RELEASED


def defer(context: WorkerContext, claim: Claim, error: Exception, *, missing: bool) -> Count:
    """Hand a shard back because of an outage; see :meth:`~longshore.shared.ledger.shards.attempts.Attempts.defer`."""
    reason = describe(error)
    context.metrics.count(Count.SHARDS_DEFERRED)
    log.warning("attempt %s runs again later: %s", claim.token, reason, extra=_about(claim))
    _record(claim, lambda: context.ledger.attempts.defer(claim, reason, missing=missing))
    return Count.SHARDS_DEFERRED


def fail(context: WorkerContext, claim: Claim, error: BaseException, *, permanent: bool) -> Count:
    """Count an attempt as failed.

    :param permanent: another attempt cannot succeed, so the whole job ends now.
    """
    reason = describe(error)
    context.metrics.count(Count.SHARDS_FAILED)
    log.warning("attempt %s failed: %s", claim.token, reason, extra=_about(claim))
    _record(claim, lambda: context.ledger.attempts.fail(claim, reason, permanent=permanent))
    return Count.SHARDS_FAILED


def _about(claim: Claim) -> dict[str, Mapping[str, str | int | float]]:
    return with_fields({"job": str(claim.job_id), "shard": claim.shard, "attempt": claim.attempt})


def _record(claim: Claim, end: Callable[[], object]) -> bool:
    """Record in the ledger how an attempt has ended. Returns whether the ledger could be reached."""
    try:
        end()
    except ServiceUnavailable as outage:
        log.warning("%s; the lease of %s will expire", outage, claim.token)
        return False
    return True


def describe(error: BaseException) -> str:
    """The text of an error for the job's owner: no longer than a screen, without characters that Postgres refuses."""
    readable = isinstance(error, (*PERMANENT, ServiceUnavailable, ShardTimedOut))
    text = str(error) if readable else f"{type(error).__name__}: {error}"
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:MAX_ERROR_CHARS]
