"""Losses are PyTorch's own, with the arguments that were asked for."""

from __future__ import annotations

import typing

import pyarrow as pa
import pytest
import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.losses import ARGUMENTS, TASKS
from longshore.shared.specs.signature import Task
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build
from longshore.shared.vocabulary import LossName
from longshore.workers.train.data.dataset import Tables, read_training_data
from longshore.workers.train.objective.criteria import CrossEntropy, make_loss, make_training_loss

CPU = torch.device("cpu")
#: Those of PyTorch; dpo is of language models, which have tests of their own.
NAMES: dict[LossName, str] = {
    "cross_entropy": "CrossEntropyLoss",
    "mse": "MSELoss",
    "l1": "L1Loss",
    "smooth_l1": "SmoothL1Loss",
    "huber": "HuberLoss",
}
GIVEN = {"label_smoothing": 0.2, "beta": 0.3, "delta": 0.4}
LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([0, 2, 1, 1, 0, 2])
NUMBERS = LOGITS.flip(0) * 2


def spec(**options: object) -> TrainSpec:
    data = InlineInput(block="a", offset=0, rows=8)
    return build(TrainSpec, {"model": "m", "family": "mlp", "data": data, "target": "y", **options})


def task_of(name: LossName) -> Task:
    return "classification" if TASKS[name] == "classification" else "regression"


def test_every_loss_is_known() -> None:
    assert set(typing.get_args(LossName)) == set(TASKS) == set(ARGUMENTS) == {*NAMES, "dpo"}
    # Class weights are of the data, and have tests of their own.
    assert {each for has in ARGUMENTS.values() for each in has} == {*GIVEN, "class_weights"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("told", [False, True])
def test_a_loss_is_pytorch_s(name: LossName, told: bool) -> None:
    given = {key: GIVEN[key] for key in ARGUMENTS[name] if key in GIVEN} if told else {}
    made = make_loss(spec(loss=NAMES[name], **given), task_of(name))
    reference = getattr(nn, NAMES[name])(**given)
    targets = CLASSES if name == "cross_entropy" else NUMBERS
    assert torch.equal(made(LOGITS, targets), reference(LOGITS, targets))
    if name != "cross_entropy":
        assert torch.equal(made(LOGITS[:, :1], NUMBERS[:, 0]), reference(LOGITS[:, 0], NUMBERS[:, 0]))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        *[(name, name) for name in NAMES],
        *[(full, name) for name, full in NAMES.items()],
        *[(full.lower(), name) for name, full in NAMES.items()],
        ("smooth_l1_loss", "smooth_l1"),
        ("MSE", "mse"),
    ],
)
def test_any_spelling_of_pytorch_is_the_name(given: str, name: str) -> None:
    assert spec(loss=given).loss == name


def test_an_unknown_loss_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        InvalidInput, match=r"'hinge'.*'cross_entropy', 'mse', 'l1', 'smooth_l1', 'huber' or 'dpo'"
    ) as refused:
        spec(loss="hinge")
    assert refused.value.field == "loss"


def test_nothing_given_is_what_it_always_was() -> None:
    assert torch.equal(make_loss(spec(), "classification")(LOGITS, CLASSES), nn.CrossEntropyLoss()(LOGITS, CLASSES))
    assert torch.equal(make_loss(spec(), "regression")(LOGITS, NUMBERS), nn.MSELoss()(LOGITS, NUMBERS))


def test_label_smoothing_needs_no_name_where_there_are_classes() -> None:
    asked = spec(label_smoothing=0.1)
    asked.check()
    expected = nn.CrossEntropyLoss(label_smoothing=0.1)(LOGITS, CLASSES)
    assert torch.equal(make_loss(asked, "classification")(LOGITS, CLASSES), expected)
    with pytest.raises(InvalidInput, match=r"label_smoothing: 0\.1: it is of the loss cross_entropy or dpo; mse has"):
        make_loss(asked, "regression")


@pytest.mark.parametrize(
    ("options", "task", "field", "reason"),
    [
        ({"loss": "huber"}, "classification", "loss", "huber is for regression.*use cross_entropy"),
        ({"loss": "CrossEntropyLoss"}, "regression", "loss", "use mse or l1 or smooth_l1 or huber"),
        ({"loss": "l1"}, "embedding", "loss", "the task is embedding; leave it out"),
        ({"loss": "huber", "beta": 2.0}, "regression", "beta", "of the loss smooth_l1 or dpo; huber has delta"),
        ({"loss": "smooth_l1", "delta": 2.0}, "auto", "delta", "of the loss huber; smooth_l1 has beta"),
        ({"delta": 2.0}, "auto", "delta", "of the loss huber; give that, too"),
        ({"delta": 2.0}, "regression", "delta", "of the loss huber; mse has no arguments"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, object], task: Task, field: str, reason: str) -> None:
    asked = spec(**options)
    with pytest.raises(InvalidInput, match=reason) as refused:
        make_loss(asked, task)
    assert refused.value.field == field


@pytest.mark.parametrize("options", [{"delta": 0}, {"beta": -1}, {"label_smoothing": 1.5}, {"delta": float("inf")}])
def test_a_wrong_argument_is_refused_with_its_value(options: dict[str, object]) -> None:
    [(name, value)] = options.items()
    with pytest.raises(InvalidInput, match=f"{name}: {value}") as refused:
        spec(**options)
    assert refused.value.field == name


ROWS = pa.table({"x": [float(x) for x in range(20)], "y": ["rare"] * 4 + ["common"] * 16})


@pytest.mark.parametrize(
    ("given", "weights"),
    [("balanced", [20 / (2 * 16), 20 / (2 * 4)]), ({"rare": 5.0}, [1.0, 5.0]), ({"rare": 2, "common": 3}, [3.0, 2.0])],
)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_training_loss_is_weighted_as_pytorch_does(given: object, weights: list[float], smoothing: float) -> None:
    asked = spec(class_weights=given, label_smoothing=smoothing, validation=0)
    data = read_training_data(asked, Tables(ROWS))
    logits, targets = LOGITS[:, :2], CLASSES.clamp(max=1)
    made = make_training_loss(asked, data, CPU)(logits, targets)
    reference = nn.CrossEntropyLoss(weight=torch.tensor(weights), label_smoothing=smoothing)
    assert torch.equal(made, reference(logits, targets))
    # PrefetchedShard-out rows all count the same.
    measured = make_loss(asked, "classification")(logits, targets)
    assert torch.equal(measured, nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, targets))


def test_balanced_counts_the_rows_to_train_on_alone() -> None:
    part = ["train"] * 3 + ["val"] + ["train"] * 6 + ["test"] * 10
    table = ROWS.append_column("part", pa.array(part))
    asked = spec(class_weights="balanced", split="part")
    data = read_training_data(asked, Tables(table))
    assert data.class_counts == (6, 3)
    loss = make_training_loss(asked, data, CPU)
    assert isinstance(loss, CrossEntropy)
    assert loss.weight is not None
    assert loss.weight.tolist() == [0.75, 1.5]


def test_weights_go_with_half_precision() -> None:
    asked = spec(class_weights={"rare": 5.0}, validation=0)
    loss = make_training_loss(asked, read_training_data(asked, Tables(ROWS)), CPU)
    logits, targets = LOGITS[:, :2].bfloat16(), CLASSES.clamp(max=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(logits, targets)
    assert torch.equal(found, nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0]))(logits.float(), targets))


@pytest.mark.parametrize(
    ("options", "task", "field", "reason"),
    [
        (
            {"class_weights": "balanced"},
            "regression",
            "class_weights",
            "of the loss cross_entropy; mse has no arguments",
        ),
        ({"class_weights": {"a": 1}, "loss": "l1"}, "auto", "class_weights", "of the loss cross_entropy; l1 has no"),
    ],
)
def test_only_classes_have_weights(options: dict[str, object], task: str, field: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        spec(**options, task=task).check()
    assert refused.value.field == field


def test_a_weight_of_no_label_is_refused() -> None:
    asked = spec(class_weights={"rarest": 5.0}, validation=0)
    with pytest.raises(InvalidInput, match="'rarest' is no label of the target; there are common, rare"):
        make_training_loss(asked, read_training_data(asked, Tables(ROWS)), CPU)
