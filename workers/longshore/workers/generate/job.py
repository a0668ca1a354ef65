"""Runs shards of jobs that generate text: one session for all claims of a model."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial

from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.row_commits import generate_batch_key
from longshore.shared.specs.generate import GenerateSpec
from longshore.workers.attempt_ends import Ran, defer, end, release
from longshore.workers.context import WorkerContext
from longshore.workers.generate.session.leases import Leases
from longshore.workers.generate.session.loop import GenerationSession
from longshore.workers.generate.session.progress import SessionCounts, SessionReporter
from longshore.workers.generate.version import LanguageModel
from longshore.workers.process.draining import HandBack
from longshore.workers.process.monitoring.cells import Count

log = logging.getLogger(__name__)


def run_generation(context: WorkerContext, claims: Sequence[Claim], task: str) -> Ran:
    """Run shards, and others that join them. Never raises the error of a shard.

    :param task: the id of the Celery task, by which monitors show the progress.
    :returns: all shards that had a part in it, with how many tokens each session read and wrote, and how fast.
    """
    sessions: list[Ran] = []
    with Leases(context.ledger, context.worker.lease, context.shown) as leases:
        leases.add(claims)
        for group in _groups(claims):
            sessions.append(_run_session(context, group, task, leases))
    return Ran(
        [claim for session in sessions for claim in session.claims],
        [end for session in sessions for end in session.ends],
        [text for session in sessions for text in session.texts],
    )


def _groups(claims: Sequence[Claim]) -> list[list[Claim]]:
    """The claims that begin a session together. A shard that has failed before may be what ended its worker."""
    groups: dict[tuple[object, ...], list[Claim]] = {}
    for claim in claims:
        alike = (claim.job_id, claim.shard) if claim.failed_before else (claim.batch_key or claim.job_id,)
        groups.setdefault(alike, []).append(claim)
    return list(groups.values())


def _run_session(context: WorkerContext, claims: list[Claim], task: str, leases: Leases) -> Ran:
    first = claims[0]
    ends: list[Count] = []
    counts = SessionCounts()
    try:
        spec = GenerateSpec.model_validate(first.spec)
        context.shown.running(claims)
        model = context.engines.version(first).model
        _check_devices(context, model)
        engine = context.engines.get(model, spec.engine, context.models)
    except HandBack as reason:
        log.info("handed back: %s", reason)
        for claim in claims:
            if context.draining.requested:
                ends.append(release(context, claim))
            else:  # not at once: this worker would be given it again
                ends.append(defer(context, claim, reason, missing=False))
            leases.remove(claim)
        context.shown.ended(claims)
        return Ran(claims, ends)
    except Exception as error:  # each of the claims would meet it
        log.warning("no session begins: %s", error)
        for claim in claims:
            ends.append(end(context, claim, error))
            leases.remove(claim)
        context.shown.ended(claims)
        return Ran(claims, ends)
    batch_key = first.batch_key or generate_batch_key(model.key, spec.engine)
    session = GenerationSession(
        *(context, engine, first), model_key=model.key, batch_key=batch_key, counts=counts, leases=leases
    )
    with SessionReporter(partial(context.progress_events.send, task), counts):
        started = time.monotonic()
        session.run(claims)
        seconds = time.monotonic() - started
    return Ran(session.claims, session.ends, [counts.summary(seconds)] if counts.rows else ())


def _check_devices(context: WorkerContext, model: LanguageModel) -> None:
    """:raises HandBack: the version asks for more GPUs than this worker has, and another has enough."""
    needed, worker = model.settings.tensor_parallel or 1, context.worker
    if context.device.type != "cuda" or needed <= worker.devices:
        return
    if (context.ledger.workers.most_devices("gpu") or 0) >= needed:
        raise HandBack(f"{worker.name} has fewer than {needed} GPUs")
