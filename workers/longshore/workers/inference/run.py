"""A shard of an inference job, wherever its outputs go."""

from __future__ import annotations

from longshore.shared.jobs import InferSpec
from longshore.shared.ledger.records import Claim
from longshore.workers.context import WorkerContext
from longshore.workers.heartbeat import Heartbeat
from longshore.workers.inference.files import run_to_files
from longshore.workers.inference.job import run_inference


def run_infer(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """Compute and commit a shard: see :func:`run_inference` and :func:`run_to_files`."""
    if InferSpec.model_validate(claim.spec).output is None:
        run_inference(context, claim, beat)
    else:
        run_to_files(context, claim, beat)
