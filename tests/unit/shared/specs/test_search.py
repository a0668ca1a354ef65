"""What can be searched."""

from __future__ import annotations

import pytest

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.search import Choices, Interval, TuneSpec, applied, lower_is_better, shown
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build

TRAIN = {
    "model": "m",
    "family": "mlp",
    "data": {"uri": "/x", "format": "csv"},
    "target": "y",
    "config": {"dropout": 0.1},
}


def tuning(space: dict[str, object], **options: object) -> TuneSpec:
    spec = build(TuneSpec, {"train": TRAIN, "space": space, "trials": 16, **options})
    spec.check()
    return spec


def test_a_list_is_a_choice_and_two_ends_an_interval() -> None:
    spec = tuning({"optimizer": ["adam", "sgd"], "learning_rate": {"low": 1e-4, "high": 0.1, "log": True}})
    assert spec.space == {
        "optimizer": Choices(choices=("adam", "sgd")),
        "learning_rate": Interval(low=1e-4, high=0.1, log=True),
    }
    assert TuneSpec.model_validate_json(spec.model_dump_json(exclude_defaults=True)) == spec


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "space: {}: Dictionary should have at least 1 item"),
        ({"learning_rat": [1]}, "space.learning_rat: cannot be searched; the options are accumulate"),
        ({"model": ["a"]}, "space.model: cannot be searched"),
        ({"config": [{}]}, "space.config: cannot be searched"),
        ({"epochs": [5, "many"]}, "space.epochs: 'many' is not valid: epochs: 'many'"),
        ({"learning_rate": {"low": -1, "high": 1}}, "space.learning_rate: -1 is not valid: learning_rate: "),
        ({"learning_rate": {"low": 2, "high": 1}}, "low 2 and high 1 are not an interval"),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, "begins above 0"),
        ({"learning_rate": {"low": 1, "high": 2, "log": True, "step": 1}}, "has no step"),
        ({"learning_rate": {"low": 0.1, "hi": 1}}, "space"),
        ({"epochs": []}, "space"),
    ],
)
def test_what_cannot_be_searched_is_refused(space: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        tuning(space)
    assert said in str(refused.value)


def test_the_metric_is_one_of_held_out_rows() -> None:
    with pytest.raises(InvalidInput, match=r"^metric: 'train_loss'"):
        tuning({"epochs": [1]}, metric="train_loss")


@pytest.mark.parametrize("name", ["loss", "label_smoothing", "beta", "delta"])
def test_losses_are_not_compared_by_themselves(name: str) -> None:
    space: dict[str, object] = {name: ["mse", "huber"] if name == "loss" else [0.1, 0.2]}
    with pytest.raises(InvalidInput, match=f"^metric: 'val_loss' is not comparable between trials, because {name} is"):
        tuning(space)
    assert tuning(space, metric="val_mae").metric == "val_mae"
    # Held-out rows are measured without the weights of classes.
    tuning({"class_weights": ["balanced", {"spam": 5}]})


def test_a_grid_is_every_combination() -> None:
    space: dict[str, object] = {
        "optimizer": ["adam", "sgd"],
        "epochs": {"low": 1, "high": 3},
        "momentum": {"low": 0, "high": 0.2, "step": 0.1},
    }
    grid = tuning(space, sampler="grid").grid()
    assert len(grid) == 2 * 3 * 3
    assert len({shown(each) for each in grid}) == len(grid)
    assert [each["epochs"] for each in grid[::3]] == [1, 2, 3] * 2
    assert [each["momentum"] for each in grid[:3]] == pytest.approx([0, 0.1, 0.2])


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"learning_rate": {"low": 0.1, "high": 1}}, "space.learning_rate: a grid needs its values"),
        ({"seed": {"low": 0, "high": 99_999}}, "space.seed: 100000 values are too many"),
        ({"seed": {"low": 0, "high": 999}, "epochs": {"low": 1, "high": 20}}, "space: a grid has at most 10000"),
    ],
)
def test_a_grid_without_end_is_refused(space: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        tuning(space, sampler="grid")


def test_parameters_of_the_family_join_its_configuration() -> None:
    spec = build(TrainSpec, TRAIN)
    found = applied(spec, {"config.hidden": [8], "epochs": 3})
    assert (found.config, found.epochs, found.target) == ({"dropout": 0.1, "hidden": [8]}, 3, "y")
    assert spec.config == {"dropout": 0.1}


def test_losses_and_errors_are_better_lower() -> None:
    assert [name for name in ("val_loss", "val_mae", "val_accuracy", "val_r2", "val_f1") if lower_is_better(name)] == [
        "val_loss",
        "val_mae",
    ]


@pytest.mark.parametrize("low", [-(10**400), float("-inf"), float("nan")])
def test_an_end_that_is_no_float_is_refused(low: float) -> None:
    with pytest.raises(InvalidInput, match="are not an interval"):
        build(Interval, {"low": low, "high": 1})
