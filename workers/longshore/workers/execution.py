"""From a message to committed shards, or to a reason why not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from longshore.broker.coalescing import CoalescingKey
from longshore.shared.errors import AttemptLost, CorruptBlob, DataError, InvalidInput, NotPromoted, ServiceUnavailable
from longshore.shared.ledger.records import Claim
from longshore.workers.batching.collect import gather, publish_rest, release_key
from longshore.workers.batching.run import ComputedGroup, commit_group, compute_group, groups
from longshore.workers.context import WorkerContext
from longshore.workers.evaluation.job import run_evaluation
from longshore.workers.inference.job import run_infer
from longshore.workers.jobs.plan import run_planning
from longshore.workers.jobs.promote import run_promotion
from longshore.workers.process.draining import HandBack
from longshore.workers.process.heartbeat import Heartbeat
from longshore.workers.process.progress_reporter import Telling
from longshore.workers.search.fold import run_fold
from longshore.workers.search.job import run_tuning
from longshore.workers.train.job import run_training

log = logging.getLogger("longshore.worker")

#: What can be done with a shard.
HANDLERS: dict[str, Callable[[WorkerContext, Claim, Heartbeat], None]] = {
    "infer": run_infer,
    "train": run_training,
    "evaluate": run_evaluation,
    "promote": run_promotion,
    "plan": run_planning,
    "tune": run_tuning,
    "cross_validate": run_fold,
}
#: Errors that another try would meet again: the job ends at the first.
PERMANENT = (InvalidInput, NotPromoted, CorruptBlob, DataError)
#: The longest error that is kept, in characters.
LONGEST_ERROR = 2000


def run_message(
    context: WorkerContext, names: Sequence[tuple[UUID, int]], task: str, key: CoalescingKey | None = None
) -> None:
    """Run the shards that a message leads to. Never raises what one of them ends with.

    :param task: the id of the Celery task, by which monitors are told how far it is.
    :param key: set if the message also stands for shards that have no message of their own.
    """
    if key is not None:
        context.pace.pause(context.draining)
        release_key(context.coalescer, key)
    if context.draining.asked:
        context.ledger.attempts.give_back(names)
        return
    claims = context.ledger.attempts.claim_many(names, worker=context.worker.name, lease=context.worker.lease)
    log.debug("%d of %d shards wait", len(claims), len(names))
    if key is not None:
        publish_rest(context.coalescer, key, names[0], claims)
        context.pace.ran(claims)
    found = list(groups(claims))
    for alike in [gather(context, found[0])] if len(found) == 1 else found:
        if len(alike) > 1:
            run_together(context, alike, task)
        else:
            run_claim(context, alike[0], task)


def run_together(context: WorkerContext, claims: Sequence[Claim], task: str) -> None:
    """Run small shards as one batch; where that breaks, each by itself, so that it alone ends with its error.

    Returns when they are computed, and leaves their commit to the worker's tail.
    """
    beat = Heartbeat(context.ledger, claims, context.worker.lease, context.draining)
    beat.start()
    try:
        context.inputs.hold(claims)
        computed = compute_group(context, claims, beat)
    except HandBack:
        beat.stop()
        _release_all(context, claims)
    except Exception as error:  # whatever it is, it is met again by the shard that it belongs to
        beat.stop()
        log.warning("%d shards together: %s; running each by itself", len(claims), describe(error))
        for claim in claims:
            # One that failed for good has ended the others of its job.
            if context.ledger.attempts.renew(claim, lease=context.worker.lease, rows=0, changed=False):
                run_claim(context, claim, task)
    else:
        context.tail.follow(partial(_commit_together, context, computed, beat))


def _commit_together(context: WorkerContext, computed: ComputedGroup, beat: Heartbeat) -> None:
    """Never raises: the thread that runs it has nobody to tell."""
    claims = computed.claims
    try:
        commit_group(context.ledger, computed)
        log.info("done %d shards together", len(claims))
    except Exception as error:  # as above; a shard that was tried before runs by itself
        log.warning("%d shards together were not committed: %s; they run again", len(claims), describe(error))
        _release_all(context, claims)
    finally:
        beat.stop()


def _release_all(context: WorkerContext, claims: Sequence[Claim]) -> None:
    for claim in claims:
        _release(context, claim)


def run_claim(context: WorkerContext, claim: Claim, task: str) -> None:
    """Run one attempt to its end: committed, failed, lost or handed back. Then those that were begun meanwhile."""
    done = _run(context, claim, Heartbeat(context.ledger, [claim], context.worker.lease, context.draining), task)
    while (held := context.upcoming.take()) is not None:
        try:
            if done and not context.draining.asked:
                done = _run(context, held.claim, held.beat, task)
            else:
                _release(context, held.claim)
        finally:
            held.close()


def _run(context: WorkerContext, claim: Claim, beat: Heartbeat, task: str) -> bool:
    """Whether it was committed."""
    try:
        with beat, Telling(partial(context.events.send, task), claim, beat):
            HANDLERS[claim.action](context, claim, beat)
        log.info("done %s", claim.token)
    except AttemptLost as error:
        log.info("stopped: %s", error)
    except HandBack:
        _release(context, claim)
    except PERMANENT as error:
        _fail(context, claim, error, permanent=True)
    except ServiceUnavailable as error:
        _fail(context, claim, error, permanent=False)
    except Exception as error:  # a shard that breaks must end in the ledger, whatever broke, and not end the worker
        log.exception("attempt %s failed", claim.token)
        _fail(context, claim, error, permanent=False)
    else:
        return True
    return False


def _release(context: WorkerContext, claim: Claim) -> None:
    try:
        context.ledger.attempts.release(claim)
    except ServiceUnavailable as error:
        log.warning("%s; the lease of %s will run out", error, claim.token)
        return
    log.info("handed back %s", claim.token)


def _fail(context: WorkerContext, claim: Claim, error: Exception, *, permanent: bool) -> None:
    reason = describe(error)
    log.warning("attempt %s failed: %s", claim.token, reason)
    try:
        context.ledger.attempts.fail(claim, reason, permanent=permanent)
    except ServiceUnavailable as outage:
        log.warning("%s; the lease of %s will run out", outage, claim.token)


def describe(error: Exception) -> str:
    """An error as the job's owner reads it: no longer than a screen, in characters that Postgres can hold."""
    ours = isinstance(error, (*PERMANENT, ServiceUnavailable))
    text = str(error) if ours else f"{type(error).__name__}: {error}"
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:LONGEST_ERROR]
