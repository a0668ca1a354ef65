"""Claiming the next shard of a job and beginning to read it."""

from __future__ import annotations

import logging

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.jobs import InferSpec
from longshore.workers.context import WorkerContext
from longshore.workers.inputs.prefetch import Held
from longshore.workers.inputs.shard_reader import Reading
from longshore.workers.process.heartbeat import Heartbeat

log = logging.getLogger("longshore.worker")


def begin_next(context: WorkerContext, claim: Claim, spec: InferSpec) -> Held | None:
    """The next shard of a claim's job, claimed and being read; none where something else may have to run first."""
    # Small shards run with others of their kind. A worker with a GPU takes what is for GPUs before what is for any.
    elsewhere = claim.queue == "cpu" and context.device.type != "cpu"
    if claim.batch_key is not None or claim.only_failed or elsewhere or context.draining.asked:
        return None
    try:
        found = context.ledger.attempts.claim_next(claim, worker=context.worker.name, lease=context.worker.lease)
    except ServiceUnavailable as error:
        log.info("%s; the next shard is not begun before its message comes", error)
        return None
    if found is None:
        return None
    beat = Heartbeat(context.ledger, [found], context.worker.lease, context.draining)
    beat.start()
    try:
        reading = Reading(context, found, spec)
    except Exception as error:  # whatever it is, who runs the shard meets it
        log.debug("%s: %s", found.token, error)
        return Held(found, beat, None)
    reading.windows.start()
    return Held(found, beat, reading)
