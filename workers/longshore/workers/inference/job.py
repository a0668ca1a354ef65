"""Runs a shard of an inference job, to the table or to files."""

from __future__ import annotations

from longshore.shared.ledger.records import Claim
from longshore.shared.specs.jobs import InferSpec
from longshore.workers.context import WorkerContext
from longshore.workers.inference.file_job import run_to_files
from longshore.workers.inference.table_job import run_inference
from longshore.workers.process.heartbeat import Heartbeat


def run_infer(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """Compute and commit a shard: see :func:`run_inference` and :func:`run_to_files`."""
    if InferSpec.model_validate(claim.spec).output is None:
        run_inference(context, claim, beat)
    else:
        run_to_files(context, claim, beat)
