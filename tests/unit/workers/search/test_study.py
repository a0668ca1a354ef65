"""What trials try, and when they are ended early."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from longshore.shared.ledger.records import TrialRecord
from longshore.shared.specs.search import Parameters, TuneSpec
from longshore.shared.specs.validation import build
from longshore.workers.search.study import should_prune, suggest

TRAIN = {"model": "m", "family": "mlp", "data": {"uri": "/x", "format": "csv"}, "target": "y"}
SPACE = {
    "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
    "config.hidden": [[8], [16, 8]],
    "epochs": {"low": 1, "high": 9},
}


def tuning(**options: object) -> TuneSpec:
    return build(TuneSpec, {"train": TRAIN, "space": SPACE, "trials": 40, **options})


def trial(number: int, parameters: Parameters, value: float | None, *history: float) -> TrialRecord:
    return TrialRecord(
        number=number,
        state="running" if value is None else "complete",
        worker="w",
        parameters=parameters,
        value=value,
        metrics={},
        history={str(step): each for step, each in enumerate(history, start=1)},
        error=None,
        digest=None,
        started_at=datetime.now(UTC),
        finished_at=None,
    )


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_what_is_tried_lies_in_the_space_and_depends_on_the_seed(sampler: str) -> None:
    spec = tuning(sampler=sampler)
    tried = [suggest(spec, number, []) for number in range(30)]
    assert tried == [suggest(spec, number, []) for number in range(30)]
    assert all(list(each) == list(SPACE) for each in tried)
    assert {str(each["config.hidden"]) for each in tried} == {"[8]", "[16, 8]"}
    assert {type(each["epochs"]) for each in tried} == {int}
    assert {each["epochs"] for each in tried} <= set(range(1, 10))
    rates = [float(str(each["learning_rate"])) for each in tried]
    assert all(1e-4 <= rate <= 1 for rate in rates)
    assert sum(rate < 1e-2 for rate in rates) > 5, "half of the orders of magnitude"
    other = build(TuneSpec, {**spec.model_dump(), "train": {**TRAIN, "seed": 1}})
    assert suggest(other, 0, []) != tried[0]


def test_tpe_learns_from_what_was_tried() -> None:
    spec = tuning(space={"learning_rate": {"low": 0.0001, "high": 1.0}})
    others: list[TrialRecord] = []
    for number in range(40):
        parameters = suggest(spec, number, others)
        rate = float(str(parameters["learning_rate"]))
        others.append(trial(number, parameters, (rate - 0.3) ** 2))
    late = [abs(float(str(each.parameters["learning_rate"])) - 0.3) for each in others[20:]]
    early = [abs(float(str(each.parameters["learning_rate"])) - 0.3) for each in others[:10]]
    assert sum(late) / len(late) < sum(early) / len(early) / 2


def test_a_grid_goes_through_all_combinations() -> None:
    spec = tuning(sampler="grid", space={"epochs": [1, 2], "config.hidden": [[8], [16]]})
    assert [suggest(spec, number, []) for number in range(4)] == [
        {"epochs": epochs, "config.hidden": hidden} for epochs in (1, 2) for hidden in ([8], [16])
    ]


def test_a_trial_that_does_worse_than_the_median_is_ended() -> None:
    parameters: Parameters = {"learning_rate": 0.1, "config.hidden": [8], "epochs": 5}
    others = [trial(number, parameters, 1.0 + number, 3.0 + number, 2.0 + number) for number in range(4)]
    bad, good = trial(7, parameters, None, 9.0, 9.0), trial(7, parameters, None, 9.0, 1.0)
    spec = tuning(pruner="median")
    assert should_prune(spec, bad, others)
    assert not should_prune(spec, good, others)
    assert not should_prune(tuning(), bad, others), "none is asked for"
    assert not should_prune(spec, bad, others[:2]), "too few have ended"
    assert not should_prune(tuning(pruner="median", pruner_warmup=3), bad, others)
    higher = tuning(pruner="median", metric="val_accuracy")
    assert not should_prune(higher, bad, others), "higher is better"
