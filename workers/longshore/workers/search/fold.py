"""Runs one fold of a cross-validation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from pydantic import JsonValue

from longshore.shared.ledger.jobs.trials import Conclusion
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.search import CrossValidateSpec
from longshore.workers.context import WorkerContext
from longshore.workers.process.heartbeat import Heartbeat
from longshore.workers.train.data.load_rows import open_rows
from longshore.workers.train.loop.context import TrainingContext
from longshore.workers.train.loop.pretrained import load_pretrained
from longshore.workers.train.loop.trainer import train


def run_fold(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """Train on all rows outside the fold and measure on the rows of the fold. The last fold to end writes the summary.

    :raises AttemptLost: a newer attempt owns the shard, or the job was cancelled.
    :raises InvalidInput: the data does not fit the spec; every other fold fails the same way.
    """
    spec = CrossValidateSpec.model_validate(claim.spec)
    trials = context.ledger.trials
    trials.begin(claim, context.worker.name, lambda others: {"fold": claim.shard})

    def report(epoch: int, metrics: dict[str, float]) -> None:
        if "val_loss" in metrics:
            trials.report(claim, epoch, metrics["val_loss"])

    pretrained = load_pretrained(spec.train, context.store)
    training = TrainingContext(context.device, report, check=beat.check, pretrained=pretrained)
    trained = train(spec.train, open_rows(spec.train, context.inputs.blocks), training, (claim.shard, spec.folds))
    trials.settle(claim, "complete", value=trained.metrics.get("val_loss"), metrics=trained.metrics)
    trials.finish(claim, _sum_up)


def _sum_up(end: Conclusion) -> Mapping[str, JsonValue]:
    """Mean and sample standard deviation over the folds, for every metric that all folds have."""
    names = sorted(set.intersection(*(set(trial.metrics) for trial in end.trials)))
    values = {name: [trial.metrics[name] for trial in end.trials] for name in names}
    return {
        "metrics": {name: statistics.fmean(by_fold) for name, by_fold in values.items()},
        "std": {name: statistics.stdev(by_fold) for name, by_fold in values.items()},
        "folds": len(end.trials),
    }
