"""Whole runs of every family that end in sets of labels, or in embeddings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.checkpoint.state_file import read_state, write_state
from longshore.workers.train.data.dataset import Tables
from longshore.workers.train.data.stream.open import open_streams
from longshore.workers.train.loop.context import CheckpointHooks, TrainingContext
from longshore.workers.train.loop.pretrained import Pretrained
from longshore.workers.train.loop.result import TrainedModel
from longshore.workers.train.loop.trainer import train

CPU = torch.device("cpu")
IMAGES = load_digits()
FAMILIES: dict[str, dict[str, object]] = {
    "linear": {},
    "mlp": {"hidden": [64]},
    "cnn": {"input_shape": [1, 8, 8], "channels": [8, 16], "kernel_size": 3, "padding": 1},
    "rnn": {"input_shape": [8, 8], "hidden_size": 48},
    "transformer": {"input_shape": [8, 8], "d_model": 32, "nhead": 2, "num_layers": 1, "dim_feedforward": 64},
}


def spec(**options: object) -> TrainSpec:
    values = {"model": "m", "family": "mlp", "data": InlineInput(block="b", offset=0, rows=1), "target": "y"}
    asked = TrainSpec.model_validate(values | {"validation": 0.2, "learning_rate": 3e-3} | options)
    asked.check()
    return asked


def run(asked: TrainSpec, table: pa.Table, pretrained: Pretrained | None = None) -> TrainedModel:
    return train(asked, Tables(table), TrainingContext(CPU, pretrained=pretrained or Pretrained()))


def table(y: object) -> pa.Table:
    pixels = pa.FixedSizeListArray.from_arrays(IMAGES.data.astype(np.float32).ravel(), 64)
    return pa.table({"pixels": pixels, "y": y})


@pytest.fixture(scope="module")
def sets() -> pa.Table:
    """Digits with what is true of them; nothing is of 0 and 4."""

    def labels(digit: int) -> list[str]:
        held = {"odd": digit % 2 == 1, "big": digit > 4, "prime": digit in (2, 3, 5, 7)}
        return [name for name, holds in held.items() if holds]

    return table([labels(digit) for digit in IMAGES.target])


@pytest.fixture(scope="module")
def digits() -> pa.Table:
    return table(IMAGES.target)


@pytest.mark.parametrize("family", FAMILIES)
def test_sets_of_labels_are_learned(sets: pa.Table, family: str) -> None:
    model = run(spec(family=family, config=FAMILIES[family], epochs=8, test=0.1), sets)
    assert (model.signature.task, model.signature.labels) == ("multilabel", ("big", "odd", "prime"))
    assert set(model.metrics) == {
        *("train_loss", "val_loss", "val_accuracy", "val_f1", "test_loss", "test_accuracy", "test_f1")
    }
    assert model.metrics["val_f1"] > (0.7 if family == "linear" else 0.85)
    assert model.confusion is None
    assert model.module(torch.zeros(5, 64)).shape == (5, 3)


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_are_learned(digits: pa.Table, family: str) -> None:
    config = FAMILIES[family]
    model = run(spec(family=family, config=config, epochs=12, task="embedding", embedding_width=16), digits)
    assert model.signature.embedding_width == 16
    assert set(model.metrics) == {"train_loss", "val_loss", "val_recall_at_1"}
    untrained = run(spec(family=family, config=config, epochs=1, task="embedding", learning_rate=1e-9), digits)
    assert model.metrics["val_loss"] < untrained.metrics["val_loss"] - 0.3
    assert model.metrics["val_recall_at_1"] > max(0.88, untrained.metrics["val_recall_at_1"])
    rows = torch.from_numpy(IMAGES.data.astype(np.float32))
    torch.testing.assert_close(model.module(rows).norm(dim=1), torch.ones(len(rows)))


@pytest.mark.parametrize("options", [{}, {"task": "embedding"}])
def test_the_same_seed_gives_the_same_bits_also_of_a_stream(
    sets: pa.Table, digits: pa.Table, tmp_path: Path, options: dict[str, object]
) -> None:
    rows = digits if options else sets
    pq.write_table(rows, tmp_path / "digits.parquet", row_group_size=200)
    asked = spec(
        data={"uri": str(tmp_path / "digits.parquet"), "format": "parquet"},
        **{"stream": True, "shuffle_window": 300, "epochs": 8, "test": 0.1, "validation": 0.1, **options},
    )

    def streamed() -> TrainedModel:
        streams = open_streams(asked, None)  # type: ignore[arg-type]  # there are no rows that came with the call
        return train(asked, streams, TrainingContext(CPU))

    for one, other in ((streamed(), streamed()), (run(asked, rows), run(asked, rows))):
        assert one.metrics == other.metrics
        tensors = other.module.state_dict()
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in one.module.state_dict().items())
        assert one.metrics["test_recall_at_1" if options else "test_f1"] > 0.85


class FileCheckpointer:
    """Keeps a state in a file at one step, and is asked to stop there."""

    last: str | None = None

    def __init__(self, path: Path, at: int) -> None:
        self._path, self._at = path, at

    def due(self, done: int) -> bool:
        return done == self._at

    def save(self, take: Callable[[], object], epoch: int, done: int) -> None:
        if done == self._at:
            write_state(take(), self._path)
            raise Stopped


class Stopped(Exception):
    """As if the worker had been killed."""


@pytest.mark.parametrize("options", [{}, {"task": "embedding", "early_stopping": 3, "monitor": "val_recall_at_1"}])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    sets: pa.Table, digits: pa.Table, tmp_path: Path, options: dict[str, object]
) -> None:
    rows = digits if options else sets
    asked = spec(epochs=4, config={"hidden": [32], "dropout": 0.2}, **options)
    whole = run(asked, rows)

    def go(checkpoints: CheckpointHooks) -> TrainedModel:
        return train(asked, Tables(rows), TrainingContext(CPU, checkpoints=checkpoints))

    with pytest.raises(Stopped):
        go(CheckpointHooks(checkpointer=FileCheckpointer(tmp_path / "state", 17)))
    state = read_state(tmp_path / "state")
    assert isinstance(state, dict)
    again = go(CheckpointHooks(state=state))
    assert again.metrics == whole.metrics
    tensors = again.module.state_dict()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in whole.module.state_dict().items())


def test_metrics_of_other_tasks_are_refused(sets: pa.Table, digits: pa.Table) -> None:
    with pytest.raises(InvalidInput, match=r"^metrics: 'perplexity' is not a metric for several labels a row"):
        run(spec(metrics=("perplexity",)), sets)
    with pytest.raises(InvalidInput, match=r"^metrics: 'subset_accuracy' is not a metric for classes"):
        run(spec(metrics=("subset_accuracy",)), digits)
    asked = spec(task="embedding").model_copy(update={"metrics": ("accuracy",)})
    with pytest.raises(InvalidInput, match=r"^metrics: 'accuracy' is not a metric for embeddings"):
        run(asked, digits)


def test_a_student_learns_sets_of_labels_from_its_teacher(sets: pa.Table) -> None:
    teacher = run(spec(epochs=15), sets)
    pretrained = Pretrained(teacher=teacher.module, teacher_signature=teacher.signature)
    # Targets that teach nothing: what is right comes from the teacher alone.
    order = np.random.default_rng(0).permutation(len(sets))
    wrong = sets.set_column(1, "y", sets["y"].take(pa.array(order)))
    rows = torch.from_numpy(IMAGES.data.astype(np.float32))

    def agreement(model: TrainedModel) -> float:
        found: torch.Tensor = ((model.module(rows) > 0) == (teacher.module(rows) > 0)).float().mean()
        return float(found.detach())

    student = run(spec(epochs=15, mix=1.0, teacher="t:1"), wrong, pretrained)
    assert agreement(student) > 0.95 > 0.8 > agreement(run(spec(epochs=15), wrong))
    other = Signature(
        features=(Feature(name="pixels", width=64),), task="multilabel", target="y", labels=("big", "odd")
    )
    with pytest.raises(InvalidInput, match=r"^teacher: t:1 predicts other classes"):
        run(spec(teacher="t:1"), sets, Pretrained(teacher=nn.Linear(64, 2), teacher_signature=other))
