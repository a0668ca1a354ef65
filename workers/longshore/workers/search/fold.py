"""One fold of a cross-validation."""

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
from longshore.workers.train.loop.pretrained import load_pretrained
from longshore.workers.train.loop.trainer import train


def run_fold(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """Train on all rows but those of the fold, and measure on these. The last fold to end sums all of them up.

    :raises AttemptLost: a newer attempt has the shard, or the job was cancelled.
    :raises InvalidInput: the data and the spec do not go together; no other fold could be better off.
    """
    spec = CrossValidateSpec.model_validate(claim.spec)
    trials = context.ledger.trials
    trials.begin(claim, context.worker.name, lambda others: {"fold": claim.shard})

    def report(epoch: int, metrics: dict[str, float]) -> None:
        if "val_loss" in metrics:
            trials.report(claim, epoch, metrics["val_loss"])

    rows = open_rows(spec.train, context.inputs.blocks)
    trained = train(
        spec.train,
        rows,
        context.device,
        report,
        beat.check,
        (claim.shard, spec.folds),
        pretrained=load_pretrained(spec.train, context.store),
    )
    trials.settle(claim, "complete", value=trained.metrics.get("val_loss"), metrics=trained.metrics)
    trials.finish(claim, _sum_up)


def _sum_up(end: Conclusion) -> Mapping[str, JsonValue]:
    """Mean and standard deviation (of the sample) over the folds, of every metric that all of them have."""
    names = sorted(set.intersection(*(set(trial.metrics) for trial in end.trials)))
    values = {name: [trial.metrics[name] for trial in end.trials] for name in names}
    return {
        "metrics": {name: statistics.fmean(found) for name, found in values.items()},
        "std": {name: statistics.stdev(found) for name, found in values.items()},
        "folds": len(end.trials),
    }
