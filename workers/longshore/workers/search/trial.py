"""Runs one trial of a hyperparameter search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from pydantic import JsonValue

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.jobs.trials import Conclusion
from longshore.shared.ledger.models.registry import NewVersion
from longshore.shared.ledger.records import Claim, TrialRecord
from longshore.shared.outages import is_outage
from longshore.shared.specs.search import TuneSpec, applied, shown
from longshore.shared.specs.train import TrainSpec
from longshore.workers.context import WorkerContext
from longshore.workers.process.heartbeat import Heartbeat
from longshore.workers.search.study import should_prune, suggest
from longshore.workers.train.data.load_rows import open_rows
from longshore.workers.train.job import store_version
from longshore.workers.train.loop.context import TrainingContext
from longshore.workers.train.loop.pretrained import load_pretrained
from longshore.workers.train.loop.result import TrainedModel
from longshore.workers.train.loop.trainer import train


class TrialPruned(Exception):
    """The pruner ended the trial."""


def run_trial(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """Train with the parameters that the sampler suggests. The last trial to end creates a version from the best trial.

    A training that fails because of its parameters (for example, its loss is not finite) fails only its own trial.

    :raises AttemptLost: a newer attempt owns the shard, or the job was cancelled.
    :raises InvalidInput: this was the last trial, and no trial completed.
    """
    spec = TuneSpec.model_validate(claim.spec)
    trials = context.ledger.trials
    parameters = trials.begin(claim, context.worker.name, partial(suggest, spec, claim.shard))
    tried = applied(spec.train, parameters).model_copy(update={"alias": None})
    try:
        tried.check()
        trained = _train(context, claim, beat, spec, tried)
        value = trained.metrics.get(spec.metric)
        if value is None:
            measured = ", ".join(sorted(trained.metrics))
            raise InvalidInput("metric", f"{spec.metric!r} is not measured; there are {measured}")
        version = None
        if _is_best(spec, value, trials.of(claim.job_id)):
            manifest, digest = store_version(context, claim, tried, trained)
            version = (digest, manifest.model_dump(mode="json"))
        trials.settle(claim, "complete", value=value, metrics=trained.metrics, version=version)
    except TrialPruned:
        trials.settle(claim, "pruned")
    except InvalidInput as error:
        if is_outage(error):
            raise
        trials.settle(claim, "failed", error=str(error))
    trials.finish(claim, partial(_conclude, context, claim, spec))


def _train(context: WorkerContext, claim: Claim, beat: Heartbeat, spec: TuneSpec, tried: TrainSpec) -> TrainedModel:
    def report(epoch: int, metrics: dict[str, float]) -> None:
        if spec.metric not in metrics:
            return
        context.ledger.trials.report(claim, epoch, metrics[spec.metric])
        if spec.pruner != "none" and epoch < tried.epochs:
            known = context.ledger.trials.of(claim.job_id)
            own = next(trial for trial in known if trial.number == claim.shard)
            if should_prune(spec, own, [trial for trial in known if trial is not own]):
                raise TrialPruned

    pretrained = load_pretrained(tried, context.store)
    training = TrainingContext(context.device, report, check=beat.check, pretrained=pretrained)
    return train(tried, open_rows(tried, context.inputs.blocks), training)


def _is_best(spec: TuneSpec, value: float, known: Sequence[TrialRecord]) -> bool:
    """Whether no completed trial is better. Only then is the version stored, so one of the best is always stored."""
    ended = [trial.value for trial in known if trial.state == "complete" and trial.value is not None]
    return not ended or (value <= min(ended) if spec.minimise else value >= max(ended))


def _conclude(context: WorkerContext, claim: Claim, spec: TuneSpec, end: Conclusion) -> Mapping[str, JsonValue]:
    ended = [(trial.value, trial) for trial in end.trials if trial.state == "complete" and trial.value is not None]
    if not ended:
        failed = next((trial for trial in end.trials if trial.error), None)
        raise InvalidInput("space", f"no trial came to an end; {'' if failed is None else failed.error}")
    sign = 1 if spec.minimise else -1
    # The first of equal trials, among those with a stored version.
    value, best = min(
        (one for one in ended if one[1].digest is not None), key=lambda one: (sign * one[0], one[1].number)
    )
    assert best.digest is not None
    model, alias = spec.train.model, spec.train.alias
    manifest = end.manifest(best.number)
    new = NewVersion(
        model=model,
        digest=best.digest,
        manifest=manifest,
        alias=alias,
        promote_if=spec.train.promote_if,
        set_by=claim.producer,
    )
    added = end.version(new)
    number, promotion = added.version, added.promotion
    # Inside the transaction, so that the ledger has no version that is missing from the store.
    context.store.write_version_pointer(model, number, best.digest)
    if promotion is not None and promotion.promoted:
        context.store.write_alias_pointer(model, promotion.alias, number)
    return {
        **({} if promotion is None else promotion.document()),
        **{"model": model, "version": number, "digest": best.digest, "metrics": dict(best.metrics)},
        "best": {"trial": best.number, "value": value, "parameters": best.parameters, "shown": shown(best.parameters)},
        "trials": {
            state: sum(trial.state == state for trial in end.trials) for state in ("complete", "pruned", "failed")
        },
    }
