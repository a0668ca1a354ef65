"""Notes on the course of the losses: when they come, and when not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.checkpoint.state_file import read_state, write_state
from longshore.workers.train.loop.history import TrainingHistory
from longshore.workers.train.loop.loss_notes import loss_notes, tree_loss_notes

CLASSES = Signature(features=(Feature(name="x"),), task="classification", target="y", labels=("a", "b"))
NUMBERS = Signature(features=(Feature(name="x"),), task="regression", target="y")


def spec(**options: object) -> TrainSpec:
    data = InlineInput(block="b", offset=0, rows=1)
    return TrainSpec.model_validate({"model": "m", "family": "mlp", "data": data, "target": "y", **options})


def history(train: Sequence[float], validation: Sequence[float] = (), first: int = 1) -> TrainingHistory:
    followed = TrainingHistory("val_loss")
    for epoch, loss in enumerate(train, first):
        held_out = {"val_loss": validation[epoch - first]} if len(validation) else {}
        followed.add(epoch, {"train_loss": loss, **held_out})
    return followed


def notes(train: Sequence[float], validation: Sequence[float] = (), **options: object) -> str:
    return "; ".join(loss_notes(spec(**options), CLASSES, history(train, validation)))


FALLING = [0.7 * 0.8**epoch + 0.02 for epoch in range(20)]
SETTLED = [0.7 * 0.5**epoch + 0.02 for epoch in range(20)]
#: Falls until epoch 14, and rises by a tenth of the loss of guessing in each epoch after that.
RISING = [0.6 - 0.03 * min(epoch, 13) + 0.07 * max(epoch - 13, 0) for epoch in range(20)]


def test_overfitting_names_the_epochs() -> None:
    said = notes(FALLING, RISING)
    assert said.startswith("overfitting: val_loss rises from epoch 15 on, to 0.63 in the last one; best epoch 14, ")
    assert "early_stopping=5" in said


def test_a_slow_rise_begins_where_it_begins() -> None:
    slow = [0.5 + 0.01 * epoch for epoch in range(20)]
    assert "val_loss rises from epoch 3 on, to 0.69 in the last one; best epoch 1, with 0.5;" in notes(FALLING, slow)


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        (FALLING, RISING[:16]),  # for two epochs only
        (FALLING[::-1][6:] + FALLING[:6], RISING),  # the training rows are not learned either
        (FALLING, [0.3 + 0.01 * (epoch % 3) for epoch in range(20)]),  # noise
        (FALLING, [0.02 + 0.001 * epoch for epoch in range(20)]),  # small, however large its share
        (FALLING, [*RISING[:19], 0.2]),  # it fell again
    ],
)
def test_no_overfitting(train: Sequence[float], validation: Sequence[float]) -> None:
    assert "overfitting" not in notes(train[: len(validation)], validation)


def test_early_stopping_has_kept_the_best_epoch() -> None:
    assert not notes(FALLING, RISING, early_stopping=6)


def test_a_loss_that_ends_above_its_start() -> None:
    said = notes([0.5, 0.6, 0.8, 0.9], learning_rate=0.5)
    assert (
        said == "train_loss rose from 0.5 in epoch 1 to 0.9 in the last one: learning_rate=0.5 is likely too high; "
        "try 0.05"
    )
    assert not notes([0.001, 0.002, 0.003, 0.004])
    assert not notes([0.5, 0.9], learning_rate=0.5)


def test_a_loss_above_that_of_guessing() -> None:
    assert "is 8 in the last epoch, and guessing gives 0.693" in notes([90.0, 30.0, 40.0, 8.0])
    assert "learning_rate" not in notes([90.0, 30.0, 20.0, 8.0]), "it falls"
    assert "is 8 in" in notes([90.0, 30.0, 20.0, 8.0], [90.0, 20.0, 19.0, 24.0]), "the others do not fall"
    assert "is 0.695 in the last epoch, and guessing gives 0.693" in notes([27e3, 0.71, 0.7, 0.695]), "dead units"
    assert not notes([0.72, 0.7, 0.695, 0.695]), "nothing can be learned"
    assert "learning_rate" not in notes([27e3, 0.71, 0.5, 0.4]), "it has recovered"
    assert "learning_rate" not in notes([90.0, 30.0, 40.0, 8.0], teacher="m:1"), "another loss"


def test_a_loss_that_oscillates() -> None:
    shaking = [0.5 if epoch % 2 else 0.3 for epoch in range(21)]
    assert "went up by more than 10% in 5 of the last 10 epochs" in notes(shaking)
    assert "went up" not in notes([0.65, *shaking[:10], *FALLING[5:]]), "only at first"
    assert "went up" not in notes([0.65, *(loss / 100 for loss in shaking)]), "noise"


def test_a_loss_that_still_falls() -> None:
    said = notes(FALLING[:5], [1.0, 0.9, 0.8, 0.7, 0.6])
    assert said.startswith("val_loss still fell at the end, from 0.7 to 0.6 in the last epoch: give the training more ")
    assert said.endswith(", or go on with longshore jobs extend")
    for option in ({"schedule": "cosine"}, {"keep_checkpoints": 0}):
        assert notes(FALLING[:5], **option).endswith("give the training more epochs")
    for ended in (SETTLED, [0.5, 0.4, 0.3, 0.35], [0.5, 0.4], [0.5, 0.5, 0.5]):
        assert not notes(ended)


def test_what_helps_trees() -> None:
    def notes_on_trees(train: Sequence[float], validation: Sequence[float] = (), *, ended: bool = False) -> str:
        asked = spec(family="lightgbm")
        return "; ".join(tree_loss_notes(asked, CLASSES, history(train, validation), rate=0.4, ended=ended))

    said = notes_on_trees(FALLING, RISING)
    assert said.startswith("overfitting: ")
    assert "fewer config.num_leaves" in said
    assert "weight_decay" not in said
    assert notes_on_trees([0.5, 0.6, 0.8, 0.9]).endswith("config.learning_rate=0.4 is likely too high; try 0.04")
    assert "give the training more epochs" in notes_on_trees(FALLING[:5])
    assert not notes_on_trees(FALLING[:5], ended=True)
    assert not notes_on_trees(SETTLED, SETTLED)


def test_losses_of_numbers_of_any_size() -> None:
    for unit in (1e-6, 1.0, 1e6):
        train, validation = [loss * unit for loss in FALLING], [loss * unit for loss in RISING]
        assert loss_notes(spec(), NUMBERS, history(train, validation))[0].startswith("overfitting: ")
        settled = [loss * unit for loss in SETTLED]
        assert not loss_notes(spec(), NUMBERS, history(settled, settled))


@pytest.mark.parametrize("seed", range(20))
def test_no_false_alarm_of_noise_around_a_curve_that_has_settled(seed: int) -> None:
    random = np.random.default_rng(seed)
    epochs = np.arange(40)
    train = 0.6 * np.exp(-epochs / 4) + 0.1 + random.normal(0, 0.002, 40)
    validation = 0.5 * np.exp(-epochs / 4) + 0.2 + random.normal(0, 0.005, 40)
    assert not notes(train.tolist(), validation.tolist())


def test_a_resumed_training_says_the_same(tmp_path: Path) -> None:
    whole = history(FALLING, RISING)
    for cut in (0, 7, 14, 19):
        first = history(FALLING[:cut], RISING[:cut])
        write_state(first.state_dict(), tmp_path / "state")
        second = TrainingHistory("val_loss")
        state = read_state(tmp_path / "state")
        assert isinstance(state, dict)
        second.load_state_dict(state)
        for epoch in range(cut, len(FALLING)):
            second.add(epoch + 1, {"train_loss": FALLING[epoch], "val_loss": RISING[epoch]})
        assert loss_notes(spec(), CLASSES, second) == loss_notes(spec(), CLASSES, whole)
        assert (second.best_epoch, second.best_metrics) == (14, whole.best_metrics)


def test_a_checkpoint_of_a_release_without_a_history() -> None:
    second = TrainingHistory("val_loss")
    second.load_state_dict(None)
    for epoch in range(10, len(FALLING)):
        second.add(epoch + 1, {"train_loss": FALLING[epoch], "val_loss": RISING[epoch]})
    assert "from epoch 15 on, to 0.63 in the last one; best epoch 14" in loss_notes(spec(), CLASSES, second)[0]


def test_the_best_epoch_is_the_first_of_equal_ones_by_the_metric_that_is_watched() -> None:
    followed = TrainingHistory("val_accuracy")
    for epoch, accuracy in enumerate((0.5, 0.9, 0.9, 0.8), 1):
        followed.add(epoch, {"train_loss": 1 / epoch, "val_loss": 1 / epoch, "val_accuracy": accuracy})
    assert (followed.best_epoch, followed.monitor) == (2, "val_accuracy")
    assert math.isclose(followed.best_metrics["val_loss"], 0.5)
    without = history([3.0, 1.0, 2.0])
    assert (without.best_epoch, without.monitor) == (2, "train_loss")
