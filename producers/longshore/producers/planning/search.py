"""Checking requests for many trainings in one job: tuning and cross-validation."""

from __future__ import annotations

from collections.abc import Mapping

from longshore.producers.planning.context import PlanningContext
from longshore.producers.planning.job_builder import Draft
from longshore.producers.planning.train import CheckedTraining, check_family, check_training
from longshore.producers.planning.training.texts import are_texts, check_text_config
from longshore.producers.requests import CrossValidate, Tune
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import NewJob, NewShard
from longshore.shared.ledger.workers import Workers
from longshore.shared.specs.search import CONFIG, Choices, CrossValidateSpec, TuneSpec, applied
from longshore.shared.specs.validation import build, shorten
from longshore.shared.vocabulary import Action, JobKind

#: Default number of trials; for a grid, the number of combinations.
TRIALS = 16


def plan_tuning(request: Tune, context: PlanningContext) -> NewJob:
    """One job with a shard for each trial.

    :raises InvalidInput: the space, or an option, or what is trained is wrong; names it.
    """
    own, rest = _own_options(request.options, TuneSpec)
    # The metric is measured on held-out rows.
    if rest.get("validation") == 0:
        raise InvalidInput("validation", "0: trials are compared on held-out rows; hold some out")
    _refuse_devices(rest, "trials")
    checked = check_training(request, rest, context)
    spec = build(TuneSpec, {"trials": TRIALS, **own, "space": request.space, "train": checked.spec})
    spec.check()
    _check_families(spec, checked, context.ledger.workers)
    if spec.sampler == "grid":
        combinations = len(spec.grid())
        trials = int(str(own.get("trials") or combinations))
        spec = spec.model_copy(update={"trials": min(trials, combinations)})
    return _job(JobKind.TUNE, spec, checked, spec.trials, context)


def plan_cross_validation(request: CrossValidate, context: PlanningContext) -> NewJob:
    """One job with a shard for each fold.

    :raises InvalidInput: the number of folds, or an option, or what is trained is wrong; names it.
    """
    own, rest = _own_options(request.options, CrossValidateSpec)
    for name in ("validation", "test", "split", "alias", "promote_if"):
        if rest.get(name) is not None:
            raise InvalidInput(name, f"{rest[name]!r}: cross-validation holds out each fold in turn; leave it out")
    _refuse_devices(rest, "folds")
    checked = check_training(request, rest, context)
    spec = build(CrossValidateSpec, {**own, "train": checked.spec})
    return _job(JobKind.CROSS_VALIDATE, spec, checked, spec.folds, context)


def _job(
    kind: JobKind,
    spec: TuneSpec | CrossValidateSpec,
    checked: CheckedTraining,
    count: int,
    context: PlanningContext,
) -> NewJob:
    draft = Draft(
        kind=kind,
        model=spec.train.model,
        version=None,
        digest=None,
        options=checked.options,
        queue=context.queues.choose(checked.options.device),
        producer=context.producer,
    )
    shards = [NewShard(action=Action(kind), start=number, stop=number + 1) for number in range(count)]
    identity = spec.model_dump_json(exclude={"train"}, exclude_defaults=True).encode() + checked.content
    return draft.job(spec.model_dump_json(exclude_defaults=True), shards, count, identity)


def _refuse_devices(options: Mapping[str, object], each: str) -> None:
    if options.get("devices", 1) != 1:
        raise InvalidInput(
            "devices", f"{options['devices']!r}: {each} already run on all workers at once; leave it out"
        )


def _own_options(
    options: Mapping[str, object], spec: type[TuneSpec | CrossValidateSpec]
) -> tuple[dict[str, object], dict[str, object]]:
    """The options of the search, and those of the training."""
    names = set(spec.model_fields) - {"train", "space"}
    own = {name: value for name, value in options.items() if name in names}
    return own, {name: value for name, value in options.items() if name not in names}


def _check_families(spec: TuneSpec, checked: CheckedTraining, fleet: Workers) -> None:
    """Check that the family accepts every value in the search space."""
    for name, part in spec.space.items():
        for value in part.choices if isinstance(part, Choices) else (part.low, part.high):
            try:
                if are_texts(checked.features) and name.startswith(CONFIG):
                    check_text_config({name.removeprefix(CONFIG): value})
                check_family(applied(spec.train, {name: value}), checked.features, fleet)
            except InvalidInput as error:
                raise InvalidInput(f"space.{name}", f"{shorten(value)} is not valid: {error}") from None
