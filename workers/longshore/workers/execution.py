"""Runs the shards that a message names: each is committed, or ends with an error."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from functools import partial
from itertools import chain, repeat
from typing import Final
from uuid import UUID

from longshore.broker.coalescing_key import CoalescingKey
from longshore.shared.errors import AttemptLost, ServiceUnavailable
from longshore.shared.ledger.records import Claim
from longshore.shared.vocabulary import Action
from longshore.workers.attempt_ends import defer, describe, end, fail, is_service_outage, release
from longshore.workers.batching.collect import collect, publish_rest, release_key
from longshore.workers.batching.run import ComputedBatch, commit_batch, compute_batch, split_into_batches
from longshore.workers.context import WorkerContext
from longshore.workers.handlers import HANDLERS, SESSIONS
from longshore.workers.process.draining import HandBack
from longshore.workers.process.heartbeat import Heartbeat
from longshore.workers.process.logs.lines import RunLines
from longshore.workers.process.monitoring.cells import Count, Distribution
from longshore.workers.process.progress_reporter import ProgressReporter

log = logging.getLogger(__name__)

#: Seconds between two tries to claim while Postgres is away; the last again and again. Each is shortened by chance.
CLAIM_PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.5)
#: What monitors show of attempts that were not committed. Their errors can contain data, and are in the ledger only.
ENDS: Final = {
    Count.SHARDS_FAILED: "failed",
    Count.SHARDS_DEFERRED: "put off",
    Count.SHARDS_RELEASED: "handed back",
    Count.SHARDS_LOST: "stopped",
}


def run_message(
    context: WorkerContext, names: Sequence[tuple[UUID, int]], task: str, key: CoalescingKey | None = None
) -> str:
    """Run the shards that a message leads to. Never raises the error of a shard.

    :param task: the id of the Celery task, by which monitors show the progress.
    :param key: set if the message also stands for shards that have no message of their own.
    :returns: one line for monitors, which names every job that had a part in it.
    """
    if key is not None:
        context.batch_delay.wait(context.draining)
        release_key(context.coalescer, key)
    started = time.monotonic()
    context.shown.claims(True)  # at once: a lost connection is opened again for some seconds before that is an error
    try:
        claims = _claim(context, names)
        if claims is None:
            return _give_back(context, names)
        context.shown.waiting(claims)
    finally:
        context.shown.claims(False)
    log.debug("%d of %d shards wait", len(claims), len(names))
    if key is not None:
        publish_rest(context.coalescer, key, names[0], claims)
    ran: list[Claim] = []
    ends: list[Count] = []
    texts: list[str] = []
    for action, run_session in SESSIONS.items():
        if own := [claim for claim in claims if claim.action == action]:
            session = run_session(context, own, task)
            ran += session.claims
            ends += session.ends
            texts += session.texts
    claims = [claim for claim in claims if claim.action not in SESSIONS]
    batches = list(split_into_batches(claims))
    if len(batches) == 1:
        batches = [collect(context, batches[0])]
    for batch in batches:
        if len(batch) > 1:
            ends += run_together(context, batch, task)
        else:
            ends += run_claim(context, batch[0], task)
    if key is not None and claims:
        context.batch_delay.record(claims, time.monotonic() - started)
    return "; ".join([_summary([*ran, *(claim for batch in batches for claim in batch)], ends), *texts])


def _claim(context: WorkerContext, names: Sequence[tuple[UUID, int]]) -> list[Claim] | None:
    """Claim shards, as soon as Postgres can be reached: a message that was given up would have to be published again,
    and so would all that wait behind it.

    :returns: ``None`` if the worker has to stop.
    """
    pauses, worker = chain(CLAIM_PAUSES_S, repeat(CLAIM_PAUSES_S[-1])), context.worker
    while not context.draining.requested:
        try:
            claims = context.ledger.attempts.claim_many(names, worker=worker.name, lease=worker.lease)
        except ServiceUnavailable as error:
            context.postgres.began(str(error))
            context.draining.wait(next(pauses) * random.uniform(0.5, 1.0))
        else:
            context.postgres.ended()
            return claims
    return None


def _give_back(context: WorkerContext, names: Sequence[tuple[UUID, int]]) -> str:
    try:
        context.ledger.attempts.give_back(names)
    except ServiceUnavailable as error:
        log.warning("%s; the relay will publish %d shards again", error, len(names))
    return "handed back: the worker stops"


def _summary(claims: Sequence[Claim], ends: Sequence[Count]) -> str:
    if not claims:
        return "nothing to run: ended, or taken by another worker"
    jobs = dict.fromkeys(str(claim.job_id) for claim in claims)
    producers = dict.fromkeys(claim.producer for claim in claims)
    count = "1 shard" if len(claims) == 1 else f"{len(claims)} shards"
    other = ", ".join(f"{ends.count(end)} {word}" for end, word in ENDS.items() if end in ends)
    return f"{count}{f' ({other})' if other else ''} for {', '.join(producers)}, of {' '.join(jobs)}"


def run_together(context: WorkerContext, claims: Sequence[Claim], task: str) -> list[Count]:
    """Run small shards as one batch. If that fails, run each alone, so that only the bad one ends with its error.

    Returns when they are computed, with the ends that are known by then; the worker's committer commits the others.
    """
    ends: list[Count] = []
    beat = _heartbeat(context, claims)
    beat.start()
    lines = RunLines(log, claims, context.worker)
    beat.begin_run()
    started = time.perf_counter()
    try:
        context.inputs.fetch(claims)
        computed = compute_batch(context, claims, beat)
    except HandBack:
        beat.stop()
        ends += _release_all(context, claims)
        context.shown.ended(claims)
    except Exception as error:  # any error: the shard that causes it meets it again
        beat.stop()
        if is_service_outage(error):  # each would meet it
            ends += [defer(context, claim, error, missing=False) for claim in claims]
            context.shown.ended(claims)
            return ends
        log.warning("a batch of %d shards failed: %s; running each alone", len(claims), describe(error))
        context.shown.waiting(claims)
        for claim in claims:
            try:
                current = context.ledger.attempts.renew(claim, lease=context.worker.lease, rows=0, changed=False)
            except ServiceUnavailable as outage:
                ends.append(defer(context, claim, outage, missing=False))
                continue
            # A shard that failed permanently has ended the others of its job.
            ends += run_claim(context, claim, task) if current else [Count.SHARDS_LOST]
        context.shown.ended(claims)
    else:
        context.metrics.observe(Distribution.RUN_SECONDS, time.perf_counter() - started)
        context.shown.committing(claims)
        context.committer.submit(partial(_commit_together, context, computed, beat, lines))
    return ends


def _commit_together(context: WorkerContext, computed: ComputedBatch, beat: Heartbeat, lines: RunLines) -> None:
    """Never raises: nothing would catch an error in this thread."""
    claims = computed.claims
    started = time.perf_counter()
    try:
        commit_batch(context.ledger, computed)
        lines.done(sum(computed.counts))
        context.metrics.observe(Distribution.COMMIT_SECONDS, time.perf_counter() - started)
        context.metrics.count(Count.SHARDS_COMMITTED, len(claims))
    except Exception as error:  # as above; a shard that was tried before runs alone
        log.warning("a batch of %d shards was not committed: %s; they run again", len(claims), describe(error))
        _release_all(context, claims)
    finally:
        beat.stop()
        context.shown.ended(claims)


def _release_all(context: WorkerContext, claims: Sequence[Claim]) -> list[Count]:
    return [release(context, claim) for claim in claims]


def run_claim(context: WorkerContext, claim: Claim, task: str) -> list[Count]:
    """Run one attempt until it is committed, failed, lost or released. Then run the shards prefetched meanwhile.

    :returns: how each has ended.
    """
    ends = [_run(context, claim, _heartbeat(context, [claim]), task)]
    while (shard := context.prefetcher.take()) is not None:
        try:
            if ends[-1] is Count.SHARDS_COMMITTED and not context.draining.requested:
                ends.append(_run(context, shard.claim, shard.beat, task))
            else:
                ends.append(release(context, shard.claim))
        finally:
            shard.close()
            context.shown.ended([shard.claim])
    return ends


def _heartbeat(context: WorkerContext, claims: Sequence[Claim]) -> Heartbeat:
    worker = context.worker
    return Heartbeat(context.ledger, claims, worker.lease, context.draining, context.shown, worker.shard_timeout)


def _run(context: WorkerContext, claim: Claim, beat: Heartbeat, task: str) -> Count:
    """Returns how the attempt has ended."""
    with context.logs.of(claim):
        return _run_logged(context, claim, beat, task)


def _run_logged(context: WorkerContext, claim: Claim, beat: Heartbeat, task: str) -> Count:
    # Before the run begins: it is not among the last words of a process that breaks off.
    lines = RunLines(log, [claim], context.worker)
    beat.begin_run()
    started = time.perf_counter()
    try:
        with beat, ProgressReporter(partial(context.progress_events.send, task), claim, beat):
            HANDLERS[Action(claim.action)](context, claim, beat)
        lines.done(beat.rows)
        context.metrics.observe(Distribution.RUN_SECONDS, time.perf_counter() - started)
        context.metrics.count(Count.SHARDS_COMMITTED)
    except AttemptLost as error:
        context.metrics.count(Count.SHARDS_LOST)
        log.info("stopped: %s", error)
        return Count.SHARDS_LOST
    except HandBack:
        return release(context, claim)
    except Exception as error:  # any error must end the shard in the ledger, and must not end the worker
        return end(context, claim, error)
    except SystemExit as error:  # ends this process, too
        fail(context, claim, error, permanent=False)
        raise
    else:
        return Count.SHARDS_COMMITTED
    finally:
        context.shown.ended([claim])
