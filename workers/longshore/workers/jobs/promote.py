"""Runs a promotion: the job of a chain that points an alias at the version of the previous job."""

from __future__ import annotations

from longshore.shared.errors import NotPromoted
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.jobs import PromoteSpec
from longshore.workers.context import WorkerContext
from longshore.workers.process.heartbeat import Heartbeat


def run_promotion(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """Move the alias, if the condition holds.

    :raises AttemptLost: a newer attempt has the shard, or the job was cancelled.
    :raises NotPromoted: the condition is false; the alias stays.
    """
    spec = PromoteSpec.model_validate(claim.spec)
    if claim.version is None:
        raise ValueError(f"job {claim.job_id} has no version to promote")
    beat.check()
    with context.ledger.attempts.writing(claim) as writer:
        writer.fence(claim.stop - claim.start)
        promotion = writer.promote(claim.model, claim.version, spec.alias, spec.condition)
        if not promotion.promoted:
            raise NotPromoted(f"{claim.model}@{promotion.notes[0]}")
        context.store.write_alias_pointer(claim.model, spec.alias, claim.version)
        writer.finish(promotion.document())
