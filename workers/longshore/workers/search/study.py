"""Chooses the parameters of a trial and decides whether to prune it. Optuna decides from the trials in the ledger.

Optuna's own storage is not used. Every trial creates its own study, so that workers share only the ledger.
https://optuna.readthedocs.io/en/stable/reference/index.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, NopPruner, PercentilePruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import JsonValue

from longshore.shared.ledger.records import TrialRecord
from longshore.shared.specs.search import Choices, Interval, Parameters, TuneSpec

#: Trials that must have ended before the pruner ends others.
_SEEN_FIRST = 3
#: The best share of trials, in percent, that a trial must belong to at an epoch in order to continue.
_BEST_SHARE = {"median": 50.0, "quarter": 25.0}
_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "running": TrialState.RUNNING}


def suggest(spec: TuneSpec, number: int, others: Sequence[TrialRecord]) -> Parameters:
    """Suggest the parameters of a trial.

    The same number, seed and other trials give the same parameters. ``random`` and ``grid`` ignore the other trials.

    :param others: all other trials that have started.
    """
    if spec.sampler == "grid":
        return spec.grid()[number]
    distributions = {name: _distribution(part) for name, part in spec.space.items()}
    study = _study(spec, number, others, distributions)
    tried = study.ask(distributions).params
    return {name: _value(spec.space[name], tried[name]) for name in spec.space}


def should_prune(spec: TuneSpec, own: TrialRecord, others: Sequence[TrialRecord]) -> bool:
    """Whether a trial is so much worse than the others that it should end early.

    :param own: the trial, with its history so far.
    """
    if spec.pruner == "none" or not own.history:
        return False
    distributions = {name: _distribution(part) for name, part in spec.space.items()}
    ended = [other for other in others if other.state in ("complete", "pruned")]
    study = _study(spec, own.number, ended, distributions)
    return _pruner(spec).prune(study, _frozen(spec, own, distributions))


def _study(
    spec: TuneSpec, number: int, others: Sequence[TrialRecord], distributions: dict[str, BaseDistribution]
) -> optuna.Study:
    # By default Optuna logs every study and trial to standard error.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=_sampler(spec, number), pruner=_pruner(spec), direction="minimize" if spec.minimise else "maximize"
    )
    for other in others:
        if other.state in _STATES and not (other.state == "pruned" and not other.history):
            study.add_trial(_frozen(spec, other, distributions))
    return study


def _sampler(spec: TuneSpec, number: int) -> BaseSampler:
    seed = (spec.train.seed * 10_007 + number) % 2**32
    return RandomSampler(seed=seed) if spec.sampler == "random" else TPESampler(seed=seed)


def _pruner(spec: TuneSpec) -> BasePruner:
    if spec.pruner == "none":
        return NopPruner()
    share = _BEST_SHARE[spec.pruner]
    return PercentilePruner(share, n_startup_trials=_SEEN_FIRST, n_warmup_steps=spec.pruner_warmup)


def _frozen(spec: TuneSpec, trial: TrialRecord, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    return create_trial(
        state=_STATES[trial.state],
        params={name: _key(part, trial.parameters[name]) for name, part in spec.space.items()},
        distributions=distributions,
        intermediate_values={int(step): value for step, value in trial.history.items()},
        value=trial.value if trial.state == "complete" else None,
    )


def _distribution(part: Choices | Interval) -> BaseDistribution:
    if isinstance(part, Choices):
        # As JSON text: Optuna's choices are numbers and strings, Longshore's can be lists.
        return CategoricalDistribution([json.dumps(choice, sort_keys=True) for choice in part.choices])
    if part.whole:
        return IntDistribution(int(part.low), int(part.high), log=part.log, step=int(part.step or 1))
    return FloatDistribution(float(part.low), float(part.high), log=part.log, step=part.step)


def _key(part: Choices | Interval, value: JsonValue) -> JsonValue:
    """Convert a value to the form that Optuna uses."""
    return json.dumps(value, sort_keys=True) if isinstance(part, Choices) else value


def _value(part: Choices | Interval, key: JsonValue) -> JsonValue:
    """Convert a value from the form that Optuna uses."""
    if not isinstance(part, Choices):
        return key
    value: JsonValue = json.loads(str(key))
    return value
