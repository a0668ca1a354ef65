"""Whole training runs, small ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.checkpoint.state_file import State, copied
from longshore.workers.train.data.dataset import Tables
from longshore.workers.train.data.stream.dataset import read_streams
from longshore.workers.train.data.stream.open import open_streams
from longshore.workers.train.loop.context import CheckpointHooks, TrainingContext
from longshore.workers.train.loop.pretrained import Pretrained
from longshore.workers.train.loop.result import TrainedModel
from longshore.workers.train.loop.trainer import train

CPU = torch.device("cpu")


class Cancelled(Exception):
    """What the tests stop a run with."""


def spec(**options: object) -> TrainSpec:
    values = {"model": "m", "family": "mlp", "data": InlineInput(block="b", offset=0, rows=1), "target": "y"}
    return TrainSpec.model_validate(values | options)


def run(asked: TrainSpec, table: pa.Table) -> tuple[TrainedModel, list[tuple[int, dict[str, float]]]]:
    reported: list[tuple[int, dict[str, float]]] = []
    context = TrainingContext(CPU, lambda epoch, metrics: reported.append((epoch, metrics)))
    model = train(asked, Tables(table), context)
    return model, reported


@pytest.fixture(scope="module")
def digits() -> pa.Table:
    """1,797 real images of 8 x 8 pixels."""
    data = load_digits()
    pixels = pa.FixedSizeListArray.from_arrays(data.data.astype(np.float32).ravel(), 64)
    return pa.table({"pixels": pixels, "y": data.target.astype(str)})


@pytest.fixture(scope="module")
def line() -> pa.Table:
    """y = 3a - 2b + 1, with a little noise; a far from 0."""
    random = np.random.default_rng(0)
    a, b = random.normal(50, 10, 600), random.normal(size=600)
    return pa.table({"a": a, "b": b, "y": 3 * a - 2 * b + 1 + random.normal(0, 0.01, 600)})


@pytest.mark.parametrize(
    ("family", "config"),
    [("mlp", {}), ("cnn", {"input_shape": [1, 8, 8], "channels": [16, 32], "kernel_size": 3, "padding": 1})],
)
def test_digits_are_learned(digits: pa.Table, family: str, config: dict[str, object]) -> None:
    model, reported = run(spec(family=family, config=config, epochs=20, learning_rate=3e-3, validation=0.2), digits)
    assert [epoch for epoch, _ in reported] == list(range(1, 21))
    assert reported[-1][1] == model.metrics
    assert set(model.metrics) == {"train_loss", "val_loss", "val_accuracy"}
    assert model.metrics["val_accuracy"] >= 0.95
    assert model.metrics["train_loss"] < reported[0][1]["train_loss"]


def test_the_module_takes_raw_rows_and_is_as_good_as_reported(digits: pa.Table) -> None:
    model, _ = run(spec(epochs=10, validation=0), digits)
    rows = torch.from_numpy(np.array(digits["pixels"].to_pylist(), dtype=np.float32))
    classes = model.module(rows).argmax(dim=1).tolist()
    assert model.signature.labels == tuple("0123456789")
    found = [model.signature.labels[index] for index in classes]
    assert np.mean(np.array(found) == np.array(digits["y"].to_pylist())) >= 0.95
    assert set(model.metrics) == {"train_loss"}
    assert model.config.model_dump() == {"hidden": (256,), "activation": "relu", "dropout": 0.0}
    assert not model.module.training


def test_a_line_is_learned(line: pa.Table) -> None:
    model, _ = run(spec(family="linear", epochs=60, batch_size=16, learning_rate=0.3), line)
    assert model.signature.task == "regression"
    assert model.metrics["val_r2"] >= 0.99
    assert model.metrics["val_mae"] <= 1
    assert model.module(torch.tensor([[50.0, 0.0]])).item() == pytest.approx(151, abs=1)


@pytest.mark.parametrize("config", [{}, {"dropout": 0.3, "hidden": [16, 8]}])
def test_the_same_seed_gives_the_same_bits(digits: pa.Table, config: dict[str, object]) -> None:
    asked = spec(epochs=2, config=config, seed=5)
    one, again = run(asked, digits), run(asked, digits)
    assert one[1] == again[1]
    tensors = again[0].module.state_dict()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in one[0].module.state_dict().items())
    other = run(asked.model_copy(update={"seed": 6}), digits)
    assert other[1] != one[1]


def test_a_run_leaves_torch_s_generator_alone(digits: pa.Table) -> None:
    before = torch.get_rng_state()
    run(spec(epochs=1), digits)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_lowers_the_loss(digits: pa.Table, optimizer: str) -> None:
    _, reported = run(spec(epochs=3, optimizer=optimizer, weight_decay=1e-4), digits)
    assert reported[-1][1]["val_loss"] < reported[0][1]["val_loss"]


def test_a_momentum_is_refused_where_there_is_none(digits: pa.Table) -> None:
    run(spec(epochs=1, optimizer="sgd", momentum=0.9), digits)
    with pytest.raises(InvalidInput, match=r"momentum: adam takes none, and 0\.9 is given"):
        run(spec(momentum=0.9), digits)


class LastCheckpoint:
    """Keeps the state at the end."""

    last = None

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def due(self, done: int) -> bool:
        return False

    def save(self, take: Callable[[], State], epoch: int, done: int) -> None:
        state = copied(take())
        assert isinstance(state, dict)
        self.state = state


@pytest.mark.parametrize("options", [{}, {"early_stopping": 2}])
def test_the_last_checkpoint_of_a_release_without_a_history(line: pa.Table, options: dict[str, object]) -> None:
    asked, kept = spec(family="linear", epochs=6, learning_rate=0.3, **options), LastCheckpoint()
    whole = train(asked, Tables(line), TrainingContext(CPU, checkpoints=CheckpointHooks(kept)))
    del kept.state["history"]
    resumed = train(asked, Tables(line), TrainingContext(CPU, checkpoints=CheckpointHooks(state=kept.state)))
    assert resumed.metrics == whole.metrics
    assert resumed.summary == (whole.summary if options else None), "only early stopping knows the best epoch"


def test_the_train_loss_weighs_each_row_the_same() -> None:
    # At a vanishing learning rate the loss of a whole epoch is that of the initial weights, whatever the batches.
    table = pa.table({"a": [0.0, 1.0, 2.0, 3.0, 4.0], "y": [1.0, 2.0, 3.0, 4.0, 50.0]})
    options = {"family": "linear", "validation": 0, "epochs": 1, "learning_rate": 1e-30, "optimizer": "sgd"}
    losses = [run(spec(batch_size=size, **options), table)[0].metrics["train_loss"] for size in (1, 2, 3, 5, 128)]
    assert losses == pytest.approx([losses[0]] * 5, rel=1e-6)


def test_rows_are_not_scaled_where_that_is_not_asked_for(line: pa.Table) -> None:
    model, _ = run(spec(family="linear", epochs=1, standardize=False), line)
    assert list(model.module.state_dict()) == ["network.weight", "network.bias"]


def test_the_table_stays_as_it_is() -> None:
    table = pa.table({"a": pa.array([1, 2, 3, 4], pa.float32()), "y": [1.0, 2.0, 3.0, 4.0]})
    run(spec(family="linear", epochs=1, validation=0), table)
    assert table["a"].to_pylist() == [1, 2, 3, 4]


def test_one_held_out_row_has_no_r2(line: pa.Table) -> None:
    model, _ = run(spec(family="linear", epochs=1, validation=0.1), line.slice(0, 10))
    assert set(model.metrics) == {"train_loss", "val_loss", "val_mae"}


def test_a_loss_that_is_no_number_ends_the_run(line: pa.Table) -> None:
    with pytest.raises(
        InvalidInput,
        match=r"1000\.0: the loss became (nan|inf) in epoch \d+, step \d+; there is no checkpoint; "
        r"try 100 or clip_grad_norm=1, and look for extreme values in the features and the target$",
    ) as refused:
        run(spec(family="linear", optimizer="sgd", learning_rate=1000, epochs=50, standardize=False), line)
    assert refused.value.field == "learning_rate"


def test_check_is_called_between_batches_and_can_stop_the_run(digits: pa.Table) -> None:
    calls: Iterator[int] = iter(range(100_000))

    def check() -> None:
        if next(calls) == 30:
            raise Cancelled

    reported: list[int] = []
    context = TrainingContext(CPU, lambda epoch, _: reported.append(epoch), check=check)
    with pytest.raises(Cancelled):
        train(spec(epochs=1000), Tables(digits), context)
    # 1,617 rows are 13 batches of 128, and the held-out rows are one more.
    assert reported == [1, 2]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"family": "mpl"}, "family"),
        ({"config": {"hiden": [3]}}, "config.hiden"),
        ({"config": {"hidden": [0]}}, "config.hidden"),
        ({"family": "cnn", "config": {"input_shape": [1, 9, 9]}}, "config.input_shape"),
        ({"target": "digit"}, "target"),
        ({"task": "regression"}, "task"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_its_field(
    digits: pa.Table, options: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        run(spec(**options), digits)
    assert refused.value.field == field


def test_metrics_can_be_written_as_json(line: pa.Table) -> None:
    model, _ = run(spec(family="linear", epochs=1), line)
    assert json.loads(json.dumps(model.metrics, allow_nan=False)) == model.metrics


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_digits_are_learned_on_a_gpu(digits: pa.Table) -> None:
    model = train(spec(epochs=15), Tables(digits), TrainingContext(torch.device("cuda:0")))
    assert model.metrics["val_accuracy"] >= 0.95
    assert {tensor.device.type for tensor in model.module.state_dict().values()} == {"cpu"}


def test_rows_to_test_on_change_nothing_but_the_test_metrics(digits: pa.Table) -> None:
    """Neither the weights, nor the standardisation, nor what is measured on the way."""
    part = ["train"] * 1200 + ["validation"] * 300 + ["test"] * 297
    asked = spec(epochs=2, split="part")
    table = digits.append_column("part", pa.array(part))
    one, reported = run(asked, table)
    # The same with other rows to test on.
    rows = np.array(digits["pixels"].to_pylist(), dtype=np.float32)
    rows[1500:] = 16 - rows[1500:]
    other = table.set_column(0, "pixels", pa.FixedSizeListArray.from_arrays(rows.ravel(), 64))
    again, reported_again = run(asked, other)
    tensors = again.module.state_dict()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in one.module.state_dict().items())
    assert reported[:2] == reported_again[:2]
    assert [sorted(metrics) for _, metrics in reported] == [
        ["train_loss", "val_accuracy", "val_loss"],
        ["train_loss", "val_accuracy", "val_loss"],
        ["test_accuracy", "test_loss"],
    ]
    assert one.metrics["test_accuracy"] > again.metrics["test_accuracy"]
    found = one.module(torch.from_numpy(np.array(digits["pixels"].to_pylist()[1500:], np.float32))).argmax(dim=1)
    right = np.mean([str(each) for each in found.tolist()] == np.array(digits["y"].to_pylist()[1500:]))
    assert one.metrics["test_accuracy"] == pytest.approx(right)


def test_the_scale_is_measured_on_the_rows_to_train_on(line: pa.Table) -> None:
    a = np.array(line["a"].to_pylist())
    a[500:] = 1e6
    table = line.set_column(0, "a", pa.array(a)).append_column("part", pa.array(["train"] * 500 + ["val", "test"] * 50))
    model, _ = run(spec(family="linear", epochs=1, split="part"), table)
    state = model.module.state_dict()
    assert state["standardize.mean"][0].item() == pytest.approx(a[:500].mean(), rel=1e-5)
    assert state["standardize.std"][0].item() == pytest.approx(a[:500].std(), rel=1e-5)


AUGMENT = {"horizontal_flip": 0.5, "random_crop": {"padding": 1}, "random_erasing": {"p": 0.2}}


def test_images_are_changed_in_training_alone_and_the_same_way_again(digits: pa.Table) -> None:
    cnn = {"input_shape": [1, 8, 8], "channels": [8], "kernel_size": 3}
    plain = spec(family="cnn", config=cnn, epochs=2)
    changed = spec(family="cnn", config=cnn, epochs=2, augment=AUGMENT)
    one, again, other = run(changed, digits), run(changed, digits), run(plain, digits)
    assert one[1] == again[1]
    assert one[1] != other[1]
    assert one[1][-1][1]["train_loss"] > other[1][-1][1]["train_loss"]
    # At a vanishing learning rate the weights are the initial ones, and what is measured is not changed.
    measured = [
        run(spec(family="cnn", config=cnn, epochs=1, learning_rate=1e-30, optimizer="sgd", **more), digits)[1][0][1]
        for more in ({}, {"augment": AUGMENT})
    ]
    assert measured[0]["val_loss"] == measured[1]["val_loss"]
    assert measured[0]["train_loss"] != measured[1]["train_loss"]


@pytest.mark.parametrize("batch", [1, 7, 200])
def test_batch_norm_takes_any_last_batch(digits: pa.Table, batch: int) -> None:
    # One pixel is left, so that a row alone has one value a channel; 15 rows in batches of 7 leave one over.
    blocks = {"channels": [3, 4], "kernel_size": [3, 8], "padding": [1, 0], "pool": 1, "norm": "batch"}
    config = {"input_shape": [1, 8, 8], "hidden": [], **blocks}
    asked = spec(family="cnn", config=config, epochs=3, batch_size=batch, validation=0)
    model, _ = run(asked, digits.slice(0, 15))
    again, _ = run(asked, digits.slice(0, 15))
    state = model.module.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.module.state_dict().items())
    # Of the second block: batches of one row have told it nothing.
    counted = {1: 0, 7: 6, 200: 3}[batch]
    assert int(state["network.5.num_batches_tracked"]) == counted


@pytest.mark.parametrize("stream", [False, True])
def test_rows_that_are_trained_on_can_be_measured(digits: pa.Table, tmp_path: Path, stream: bool) -> None:
    table = digits.append_column("part", pa.array(["train"] * 900 + ["val"] * 897))
    cnn = {"input_shape": [1, 8, 8], "channels": [4], "kernel_size": 3, "hidden": [16], "dropout": 0.5}
    options = {"config": cnn, "epochs": 3, "augment": AUGMENT, "metrics": ["accuracy", "f1"], "split": "part"}
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=400)
    data = {"uri": str(tmp_path / "rows.parquet"), "format": "parquet"}
    found = {}
    for measured in (True, False):
        asked = spec(family="cnn", data=data, stream=stream, train_metrics=measured, **options)
        # There are no rows that came with the call.
        rows = open_streams(asked, None) if stream else Tables(table)  # type: ignore[arg-type]
        found[measured] = train(asked, rows, TrainingContext(CPU))
    metrics = found[True].metrics
    assert set(metrics) == {f"{part}_{name}" for part in ("train", "val") for name in ("loss", "accuracy", "f1")}
    # It is the last weights that are measured, without dropout and on images as they are.
    pixels = np.array(table["pixels"].to_pylist(), np.float32)[:900]
    predicted = found[True].module(torch.from_numpy(pixels)).argmax(dim=1).numpy()
    true = np.array(table["y"].to_pylist()).astype(int)[:900]
    assert metrics["train_accuracy"] == pytest.approx(np.mean(predicted == true), abs=1e-6)
    assert metrics["train_f1"] == pytest.approx(f1_score(true, predicted, average="macro"), abs=1e-6)
    # Nothing else is another.
    assert {name: metrics[name] for name in found[False].metrics} == found[False].metrics
    weights = found[False].module.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in found[True].module.state_dict().items())


def test_changes_of_images_are_refused_where_there_are_none(digits: pa.Table) -> None:
    with pytest.raises(InvalidInput, match="augment: the family reads no images"):
        run(spec(augment=AUGMENT), digits)


def test_a_stream_is_trained_on_as_well_as_rows_in_memory(digits: pa.Table, tmp_path: Path) -> None:
    pq.write_table(digits, tmp_path / "digits.parquet", row_group_size=200)
    asked = spec(
        data={"uri": str(tmp_path / "digits.parquet"), "format": "parquet"},
        **{"stream": True, "shuffle_window": 500, "epochs": 10, "validation": 0.1, "test": 0.1},
    )

    def stream() -> tuple[TrainedModel, list[tuple[int, dict[str, float]]]]:
        reported: list[tuple[int, dict[str, float]]] = []
        streams = open_streams(asked, None)  # type: ignore[arg-type]  # there are no rows that came with the call
        context = TrainingContext(CPU, lambda epoch, metrics: reported.append((epoch, metrics)))
        model = train(asked, streams, context)
        return model, reported

    (model, reported), (again, _) = stream(), stream()
    assert model.metrics["val_accuracy"] >= 0.93
    assert model.metrics["test_accuracy"] >= 0.93
    assert [epoch for epoch, _ in reported] == [*range(1, 11), 10]
    assert model.signature.labels == tuple("0123456789")
    tensors = again.module.state_dict()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in model.module.state_dict().items())


def test_a_fold_of_a_stream_is_held_out(digits: pa.Table, tmp_path: Path) -> None:
    pq.write_table(digits, tmp_path / "digits.parquet")
    asked = spec(data={"uri": str(tmp_path / "digits.parquet"), "format": "parquet"}, stream=True, epochs=1)
    counts = []
    for fold in range(3):
        data = read_streams(asked, open_streams(asked, None), lambda: None, (fold, 3))  # type: ignore[arg-type]
        counts.append(data.scan.counts[0].sum(axis=0).tolist())
    assert sum(each[1] for each in counts) == 1797
    assert all(each[0] + each[1] == 1797 and 500 < each[1] < 700 for each in counts)


def test_several_numbers_are_learned_at_once(line: pa.Table) -> None:
    y = np.array(line["y"].to_pylist())
    both = line.set_column(2, "y", pa.array(np.stack([y, 5 - y], axis=1).tolist()))
    model, _ = run(spec(family="linear", epochs=60, batch_size=16, learning_rate=0.3, test=0.1), both)
    assert model.signature.target_width == 2
    assert {"val_r2", "val_mae", "test_r2"} <= set(model.metrics)
    assert model.metrics["val_r2"] >= 0.99
    assert model.module(torch.tensor([[50.0, 0.0]]))[0].tolist() == pytest.approx([151, -146], abs=2)


def test_a_teacher_that_preprocesses_its_columns_otherwise_is_refused() -> None:
    rows = {"a": [1.0, 2.0, 3.0, 4.0] * 10, "y": ["p", "q"] * 20}
    holed = {**rows, "a": [1.0, 2.0, 3.0, None] * 10}
    plain, _ = run(spec(family="linear", epochs=1), pa.table(rows))
    asked = spec(family="linear", epochs=1, teacher="t:1")
    with pytest.raises(InvalidInput, match="teacher: t:1 preprocesses its columns otherwise"):
        train(asked, Tables(pa.table(holed)), taught_by(plain))
    # A teacher with transforms gives them to the training.
    filling, _ = run(spec(family="linear", epochs=1), pa.table(holed))
    student = train(asked, Tables(pa.table(rows)), taught_by(filling))
    assert student.signature.features == filling.signature.features


def taught_by(teacher: TrainedModel) -> TrainingContext:
    pretrained = Pretrained(teacher=teacher.module, teacher_signature=teacher.signature)
    return TrainingContext(CPU, pretrained=pretrained)
