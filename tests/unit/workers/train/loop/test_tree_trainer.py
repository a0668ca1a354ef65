"""Whole trainings of trees, small ones, beside LightGBM itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest
import torch

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.train import TrainSpec
from longshore.workers.families.trees.boosted import BoostedTrees, read_trees
from longshore.workers.train.checkpoint.state_file import State, copied, read_state, write_state
from longshore.workers.train.data.dataset import Tables, TrainingData, read_training_data
from longshore.workers.train.loop.context import CheckpointHooks, TrainingContext
from longshore.workers.train.loop.result import TrainedModel, TrainingSummary
from longshore.workers.train.loop.trainer import train

CPU = torch.device("cpu")
ROWS = 1500
TARGETS = ("two", "four", "number")
DRAWN = {"rounds": 3, "feature_fraction": 0.5, "bagging_fraction": 0.7}


class Stopped(Exception):
    """What the tests stop a run with."""


def spec(**options: object) -> TrainSpec:
    values = {"model": "m", "family": "lightgbm", "data": InlineInput(block="b", offset=0, rows=1), "target": "y"}
    asked = TrainSpec.model_validate(values | options)
    asked.check()
    return asked


def customers(target: str, rows: int = ROWS) -> pa.Table:
    """A table with missing numbers and dates, categories, and a number that float32 cannot hold."""
    random = np.random.default_rng(0)
    age = random.normal(40, 10, rows)
    age[random.random(rows) < 0.1] = np.nan
    days = random.integers(0, 700, rows)
    plan, city = random.choice(np.array(["basic", "plus", None]), rows), random.integers(0, 90, rows)
    score = np.nan_to_num(age, nan=70) / 10 + 2 * (plan == "basic") + city % 3 + random.normal(0, 0.5, rows)
    targets = {"two": score > 6, "four": np.digitize(score, [5, 6, 7]).astype(str), "number": score}
    return pa.table(
        {
            "age [years]": pa.array(age, from_pandas=True),
            "plan": pa.array(plan.tolist()),
            "city": [f"city {number}" for number in city],
            "joined": [datetime(2024, 1, 1) + timedelta(int(day)) if day % 7 else None for day in days],
            "id": random.integers(1_700_000_000_000, 1_700_000_100_000, rows),
            "y": targets[target],
        }
    )


class Checkpoints:
    """Saves after some rounds, through the file format of checkpoints, and then stops the run."""

    def __init__(self, path: Path, rounds: int) -> None:
        self.path, self.rounds = path, rounds
        self.last = None

    def due(self, done: int) -> bool:
        return done == self.rounds

    def save(self, take: Callable[[], State], epoch: int, done: int) -> None:
        write_state(take(), self.path)
        if done == self.rounds:
            raise Stopped

    def state(self) -> Mapping[str, Any]:
        state = read_state(self.path)
        assert isinstance(state, dict)
        return state


class EveryRound:
    """Saves after each round."""

    last = None

    def __init__(self) -> None:
        self.states: list[Mapping[str, Any]] = []

    def due(self, done: int) -> bool:
        return True

    def save(self, take: Callable[[], State], epoch: int, done: int) -> None:
        state = copied(take())
        assert isinstance(state, dict)
        self.states.append(state)


Reports = list[tuple[int, dict[str, float]]]


def run(asked: TrainSpec, table: pa.Table, hooks: CheckpointHooks | None = None) -> tuple[TrainedModel, Reports]:
    reported: Reports = []
    context = TrainingContext(
        CPU, lambda epoch, metrics: reported.append((epoch, metrics)), checkpoints=hooks or CheckpointHooks()
    )
    return train(asked, Tables(table), context), reported


def trees(trained: TrainedModel) -> BoostedTrees:
    assert isinstance(trained.module, BoostedTrees)
    return trained.module


def data_of(asked: TrainSpec, table: pa.Table) -> TrainingData:
    return read_training_data(asked, Tables(table))


@pytest.mark.parametrize("target", TARGETS)
def test_predictions_are_those_of_lightgbm(target: str) -> None:
    asked, table = spec(epochs=4, config={"rounds": 5, "num_leaves": 15}), customers(target)
    trained, _ = run(asked, table)
    data, module = data_of(asked, table), trees(trained)
    columns = module.columns.matrix(data.features)
    objective = {"two": "binary", "four": "multiclass", "number": "regression"}[target]
    booster = lgb.train(
        {
            **{"objective": objective, "num_leaves": 15, "verbosity": -1, "deterministic": True},
            **{"force_row_wise": True, "num_threads": torch.get_num_threads()},
            **({"num_class": 4} if target == "four" else {}),
        },
        lgb.Dataset(
            columns[data.train_rows],
            data.targets.values[data.train_rows],
            categorical_feature=list(module.columns.categorical),
        ),
        20,
    )
    expected = booster.predict(columns, raw_score=True)
    assert isinstance(expected, np.ndarray)
    outputs = module(torch.from_numpy(data.features)).numpy()
    assert outputs.shape == (ROWS, {"two": 2, "four": 4, "number": 1}[target])
    assert np.array_equal(outputs if target == "four" else outputs[:, -1], expected)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("rounds", [1, 3, 5])
def test_a_resumed_training_ends_with_the_same_bytes(target: str, rounds: int, tmp_path: Path) -> None:
    asked = spec(epochs=4, config=DRAWN, early_stopping=3, train_metrics=True, test=0.1)
    table = customers(target)
    whole, reported = run(asked, table)
    checkpoints = Checkpoints(tmp_path / "state", rounds)
    with pytest.raises(Stopped):
        run(asked, table, CheckpointHooks(checkpoints))
    resumed, rest = run(asked, table, CheckpointHooks(state=checkpoints.state()))
    assert trees(resumed).model.text() == trees(whole).model.text()
    assert (resumed.metrics, resumed.summary, resumed.notes) == (whole.metrics, whole.summary, whole.notes)
    assert rest == reported[len(reported) - len(rest) :]


@pytest.mark.parametrize("options", [{}, {"early_stopping": 3}])
def test_a_training_without_a_further_split_goes_on_from_any_checkpoint(options: dict[str, object]) -> None:
    table = pa.table({"a": [0.0, 1.0] * 100, "y": [1.0, 3.0] * 100})
    config = {"learning_rate": 1.0, "min_gain_to_split": 0.1}
    asked, checkpoints = spec(epochs=3, config=config, test=0.1, **options), EveryRound()
    whole, reported = run(asked, table, CheckpointHooks(checkpoints))
    assert "no split saves more loss after 1 rounds, so no more trees were grown" in whole.notes
    assert len(checkpoints.states) >= 2
    for state in checkpoints.states:
        resumed, rest = run(asked, table, CheckpointHooks(state=state))
        assert trees(resumed).model.text() == trees(whole).model.text()
        assert (resumed.metrics, resumed.summary, resumed.notes) == (whole.metrics, whole.summary, whole.notes)
        assert rest == reported[len(reported) - len(rest) :]


def test_notes_are_those_of_any_training_with_what_helps_trees() -> None:
    random = np.random.default_rng(0)
    noise = pa.table({"a": random.normal(size=400), "b": random.normal(size=400), "y": random.normal(size=400)})
    config = {"rounds": 1, "learning_rate": 0.3, "min_data_in_leaf": 2}
    trained, _ = run(spec(config=config, epochs=20, validation=0.3), noise)
    assert trained.notes[0].startswith("overfitting: val_loss rises from epoch ")
    assert trained.notes[0].endswith(
        "more rows, a lower config.learning_rate, fewer config.num_leaves or a larger config.min_data_in_leaf help"
    )
    short, _ = run(spec(config={"rounds": 1}, epochs=3), customers("number"))
    assert short.notes[0].startswith("val_loss still fell at the end, from ")
    rare = ["often"] * 1000 + ["rare"] * 20
    unbalanced, _ = run(spec(epochs=1), pa.table({"a": random.normal(size=1020), "y": rare}))
    assert unbalanced.notes[0].startswith("unbalanced classes: 'rare' (18), of 918 rows to train on")


def test_a_run_is_repeated_by_its_seed_alone() -> None:
    table = customers("two")
    asked = [spec(epochs=2, config=DRAWN, seed=seed, validation=0) for seed in (1, 1, 2)]
    texts = [trees(run(each, table)[0]).model.text() for each in asked]
    assert texts[0] == texts[1] != texts[2]


def test_early_stopping_keeps_the_rounds_of_the_best_epoch() -> None:
    asked = spec(epochs=50, early_stopping=2, config={"rounds": 2, "learning_rate": 1.0, "min_data_in_leaf": 5})
    trained, reported = run(asked, customers("two"))
    best, metrics = min(reported, key=lambda report: report[1]["val_loss"])
    assert len(reported) == best + 2
    assert trees(trained).model.rounds == 2 * best
    assert trained.metrics == metrics
    assert trained.summary == TrainingSummary(best + 2, True, "val_loss", best, metrics, reported[-1][1])
    assert f"the version has the weights of epoch {best} of {best + 2}, whose val_loss was the best" in trained.notes


def test_a_run_is_stopped_between_two_rounds() -> None:
    rounds: list[None] = []

    def check() -> None:
        rounds.append(None)
        if len(rounds) == 5:
            raise Stopped

    with pytest.raises(Stopped):
        train(spec(config={"rounds": 1000}), Tables(customers("two")), TrainingContext(CPU, check=check))


def test_metrics_are_those_of_the_predictions() -> None:
    asked, table = spec(validation=0.2, test=0.2, metrics=["accuracy", "auroc"], train_metrics=True), customers("four")
    trained, _ = run(asked, table)
    data = data_of(asked, table)
    outputs = trees(trained)(torch.from_numpy(data.features))
    for prefix, rows in (("train", data.train_rows), ("val", data.held_out_rows), ("test", data.test_rows)):
        targets = torch.from_numpy(data.targets.values[rows]).long()
        assert trained.metrics[f"{prefix}_accuracy"] == float((outputs[rows].argmax(1) == targets).double().mean())
        loss = torch.nn.functional.cross_entropy(outputs[rows], targets)
        assert trained.metrics[f"{prefix}_loss"] == pytest.approx(float(loss), rel=1e-6)
    assert trained.confusion is not None
    assert sum(map(sum, trained.confusion)) == len(data.held_out_rows)


def test_class_weights_move_the_predictions() -> None:
    table = customers("two")
    shares = []
    for weights in (None, {"true": 50.0}):
        trained, _ = run(spec(class_weights=weights, validation=0, config={"rounds": 1}), table)
        outputs = trees(trained)(torch.from_numpy(data_of(spec(validation=0), table).features))
        shares.append(float(outputs.argmax(1).double().mean()))
    assert shares[0] < shares[1]


def test_missing_values_and_categories_are_taken_as_they_are() -> None:
    asked, table = spec(), customers("number")
    trained, _ = run(asked, table)
    columns = trees(trained).columns
    assert columns.names[:3] == ("age__years_", "plan", "city")
    assert columns.categorical == (1, 2)
    matrix = columns.matrix(data_of(asked, table).features)
    assert np.isnan(matrix[:, 0]).sum() == table["age [years]"].null_count
    missing = "missing values, which each split sends to one side: 'age [years]' ("
    assert any(note.startswith(missing) for note in trained.notes)
    assert "categories: 'plan' (2, and missing), 'city' (90)" in trained.notes
    assert sum(trained.importance.values()) == pytest.approx(1)
    assert next(iter(trained.importance)) == "age [years]"


def test_a_stored_model_is_the_same(tmp_path: Path) -> None:
    trained, _ = run(spec(), customers("four"))
    module, path = trees(trained), tmp_path / "model.txt"
    module.save(path)
    rows = torch.randn(50, trained.signature.width)
    assert torch.equal(read_trees(path, trained.signature)(rows), module(rows))
    assert lgb.Booster(model_file=path).num_trees() == 400
    assert module.nbytes == 2 * path.stat().st_size


def test_a_target_that_no_column_separates_is_predicted_by_its_mean() -> None:
    trained, _ = run(spec(validation=0), pa.table({"a": [1.0] * 50, "y": [1.0, 3.0] * 25}))
    assert trees(trained)(torch.ones(1, 1)).tolist() == [[2.0]]
    assert "no column separates the rows, so the version predicts the same for every row" in trained.notes


@pytest.mark.parametrize(
    ("table", "options", "field", "said"),
    [
        ({"a": [f"one two three number {n}" for n in range(90)] * 3, "y": [0.5, 1.5, 2.5] * 90},
         {"preprocess": {"a": "text"}}, "features", "column 'a' has texts of several words"),
        ({"a": [1.0, 2.0], "y": [[1.0, 2.0], [3.0, 4.0]]}, {}, "target", "not several numbers a row; use mlp"),
        ({"a": [1.0, 2.0], "y": [["p"], ["q", "p"]]}, {}, "target", "not multilabel; use mlp"),
    ],
)  # fmt: skip
def test_what_trees_cannot_learn_is_refused(
    table: Mapping[str, list[object]], options: dict[str, object], field: str, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        run(spec(validation=0, **options), pa.table(table))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learning_rate": 0.01}, "learning_rate: 0.01: .* give it as config.learning_rate, which is 0.1 by default"),
        ({"batch_size": 64}, "batch_size: 64: family 'lightgbm' grows trees; leave it out"),
        ({"optimizer": "sgd"}, "optimizer: 'sgd': "),
        ({"devices": 2}, "devices: 2: "),
        ({"base": "m:1"}, "base: 'm:1': .* extend the job of a version"),
        ({"stream": True}, "stream: True: .* the rows are held in memory"),
        ({"loss": "huber"}, "loss: 'huber': family 'lightgbm' has cross_entropy and mse"),
        ({"task": "multilabel"}, "task: 'multilabel': .* use mlp"),
    ],
)
def test_options_of_networks_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        spec(**options)
