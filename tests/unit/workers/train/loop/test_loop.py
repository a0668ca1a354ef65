"""The loop by itself: steps, accumulation, clipping, precision, and going on from a state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.train import TrainSpec
from longshore.workers.families.cnn import CNN
from longshore.workers.families.layout import channels_last
from longshore.workers.train.callbacks import Report
from longshore.workers.train.checkpoint.state_file import read_state, write_state
from longshore.workers.train.data.batches import InMemoryRows
from longshore.workers.train.loop.context import CheckpointHooks, TrainingContext
from longshore.workers.train.loop.early_stopping import EarlyStopping
from longshore.workers.train.loop.loop import TrainingLoop
from longshore.workers.train.loop.lr_schedule import LRSchedule
from longshore.workers.train.loop.precision import Precision

CPU = torch.device("cpu")
ROWS = 203
FEATURES = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(1))
CLASSES = (FEATURES.sum(dim=1) > 0).long()


class FileCheckpointer:
    """Keeps a state in a file at some steps."""

    def __init__(self, path: Path, at: int) -> None:
        self._path, self._at = path, at
        self.last: str | None = None

    def due(self, done: int) -> bool:
        return done == self._at

    def save(self, take: Callable[[], object], epoch: int, done: int) -> None:
        write_state(take(), self._path)
        self.last = f"epoch {epoch}, step {done}"


def ignore(epoch: int, metrics: dict[str, float]) -> None:
    """Reports go nowhere."""


def loop(
    batch: int = 10,
    dropout: float = 0.0,
    rate: float = 0.1,
    checkpointer: FileCheckpointer | None = None,
    report: Report = ignore,
    **options: object,
) -> TrainingLoop:
    """A small classifier. ``options`` are those of its spec."""
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 2))
    return TrainingLoop(
        spec=spec(batch_size=batch, **options),
        context=TrainingContext(CPU, report, checkpoints=CheckpointHooks(checkpointer)),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9),
        loss=functional.cross_entropy,
        rows=InMemoryRows(FEATURES, CLASSES, torch.arange(ROWS), 5),
    )


def weights(of: TrainingLoop) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in of.network.parameters()])


def run(of: TrainingLoop, epochs: int = 2) -> torch.Tensor:
    of.run(epochs)
    return weights(of)


def test_gradients_of_several_batches_are_those_of_one() -> None:
    # 203 rows: the last step of an epoch has two batches, of ten rows and of three.
    assert torch.allclose(run(loop(10, accumulate=4)), run(loop(40)), atol=1e-6)
    assert not torch.allclose(run(loop(10)), run(loop(40)), atol=1e-3)


def test_gradients_are_clipped_to_the_norm() -> None:
    rows = FEATURES * 1000
    steps = []
    for clip in (None, 0.5):
        one = loop(ROWS, rate=1.0, clip_grad_norm=clip)
        one.rows = InMemoryRows(rows, CLASSES, torch.arange(ROWS), 5)
        before = weights(one)
        steps.append(float((run(one, 1) - before).norm()))
    assert steps[0] > 10
    assert steps[1] == pytest.approx(0.5, rel=1e-4)


def test_mixed_precision_keeps_weights_in_float32_and_learns() -> None:
    reported: list[dict[str, float]] = []
    mixed, full = loop(precision="bf16", report=lambda epoch, metrics: reported.append(metrics)), loop()
    run(mixed, 5)
    run(full, 5)
    assert {parameter.dtype for parameter in mixed.network.parameters()} == {torch.float32}
    assert reported[-1]["train_loss"] < reported[0]["train_loss"] / 2
    assert not torch.equal(weights(mixed), weights(full))


def test_half_precision_is_refused_on_the_cpu() -> None:
    with pytest.raises(InvalidInput, match=r"^precision: fp16 is for GPUs"):
        Precision("fp16", CPU)


@pytest.mark.parametrize("at", [1, 7, 20, 21, 22, 40, 62])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_going_on_from_any_step_ends_with_the_same_bits(tmp_path: Path, at: int, accumulate: int) -> None:
    options = {"dropout": 0.3, "accumulate": accumulate}
    whole: list[tuple[int, dict[str, float]]] = []
    undisturbed = loop(**options, report=lambda epoch, metrics: whole.append((epoch, metrics)))  # type: ignore[arg-type]
    run(undisturbed, 3)
    if at > undisturbed.position.done:
        at = undisturbed.position.done
    kept = loop(**options, checkpointer=FileCheckpointer(tmp_path / "x", at))  # type: ignore[arg-type]
    run(kept, 3)
    torch.manual_seed(99)
    rest: list[tuple[int, dict[str, float]]] = []
    again = loop(**options, report=lambda epoch, metrics: rest.append((epoch, metrics)))  # type: ignore[arg-type]
    again.restore(read_state(tmp_path / "x"))  # type: ignore[arg-type]
    assert again.position.done == at
    run(again, 3)
    assert torch.equal(weights(again), weights(undisturbed))
    assert rest == whole[-len(rest) :]


def convolutions(checkpointer: FileCheckpointer | None = None) -> TrainingLoop:
    """Two of them, laid out with channels last, and the optimizer that goes through weights as they lie in memory."""
    torch.manual_seed(3)
    layers = [nn.Unflatten(1, (3, 6, 6)), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(20, 2))
    channels_last(network, CNN)
    images = torch.randn(ROWS, 108, generator=torch.Generator().manual_seed(1))
    one = loop(checkpointer=checkpointer)
    one.network = network
    one.optimizer = torch.optim.Adam(network.parameters(), lr=0.01, fused=True)
    one.rows = InMemoryRows(images, CLASSES, torch.arange(ROWS), 5)
    return one


def test_convolutions_go_on_with_the_same_bits_though_files_know_no_layout(tmp_path: Path) -> None:
    undisturbed = run(convolutions(), 3)
    run(convolutions(FileCheckpointer(tmp_path / "x", 29)), 3)
    again = convolutions()
    again.restore(read_state(tmp_path / "x"))  # type: ignore[arg-type]
    assert torch.equal(run(again, 3), undisturbed)


def spec(**options: object) -> TrainSpec:
    found = {"model": "m", "family": "mlp", "data": {"uri": "/x", "format": "csv"}, "target": "y", "learning_rate": 0.1}
    return TrainSpec.model_validate({**found, **options})


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "cosine", "warmup_steps": 5},
        {"schedule": "linear"},
        {"schedule": "one_cycle"},
        {"schedule": "step", "step_size": 1, "gamma": 0.5},
        {"schedule": "plateau", "patience": 0, "gamma": 0.5},
        {"warmup_steps": 30},
    ],
)
def test_schedules_and_stopping_go_on_where_they_were(tmp_path: Path, options: dict[str, object]) -> None:
    def made(checkpointer: FileCheckpointer | None = None) -> TrainingLoop:
        one = loop(dropout=0.3, checkpointer=checkpointer)
        one.schedule = LRSchedule(spec(**options), one.optimizer, 3 * 21)
        one.early_stopping = EarlyStopping(2, "train_loss")
        return one

    undisturbed = run(made(), 3)
    run(made(FileCheckpointer(tmp_path / "x", 29)), 3)
    again = made()
    again.restore(read_state(tmp_path / "x"))  # type: ignore[arg-type]
    assert torch.equal(run(again, 3), undisturbed)


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({}, [1, 1, 1, 1, 1, 1]),
        ({"warmup_steps": 4}, [0.25, 0.5, 0.75, 1, 1, 1]),
        ({"schedule": "linear"}, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ({"schedule": "linear", "warmup_steps": 2}, [0.5, 1, 1, 3 / 4, 2 / 4, 1 / 4]),
        ({"schedule": "cosine"}, [(1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]),
        ({"schedule": "step", "step_size": 2, "gamma": 0.5}, [1, 1, 1, 1, 0.5, 0.5]),
        ({"schedule": "plateau", "patience": 1, "gamma": 0.5}, [1, 1, 1, 1, 1, 1]),
    ],
)
def test_the_learning_rate_of_each_step(options: dict[str, object], rates: list[float]) -> None:
    """Six steps, two to an epoch."""
    one = loop()
    schedule = LRSchedule(spec(**options), one.optimizer, 6)
    seen = []
    for step in range(6):
        seen.append(one.optimizer.param_groups[0]["lr"] / 0.1)
        one.optimizer.step()
        schedule.step()
        if step % 2:
            schedule.epoch({"train_loss": 1.0})
    assert seen == pytest.approx(rates, abs=1e-9)


def test_one_cycle_rises_to_the_learning_rate_and_falls() -> None:
    one = loop()
    schedule = LRSchedule(spec(schedule="one_cycle"), one.optimizer, 100)
    seen = []
    for _ in range(100):
        seen.append(one.optimizer.param_groups[0]["lr"])
        one.optimizer.step()
        schedule.step()
    assert max(seen) == pytest.approx(0.1)
    assert seen[0] < 0.01
    assert seen[-1] < 0.001


def test_the_rate_is_lowered_where_the_loss_stays() -> None:
    one = loop()
    schedule = LRSchedule(spec(schedule="plateau", patience=1, gamma=0.5), one.optimizer, 100)
    seen = []
    for loss in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0):
        schedule.epoch({"train_loss": 9.0, "val_loss": loss})
        seen.append(one.optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.025])


def test_the_best_epoch_is_kept() -> None:
    one = loop()
    stopping = EarlyStopping(2, "val_accuracy")
    kept = []
    for epoch, value in enumerate((0.5, 0.9, 0.8, 0.85), start=1):
        with torch.no_grad():
            one.network[0].bias.fill_(epoch)  # type: ignore[index]
        kept.append(stopping.update(epoch, {"val_accuracy": value}, one.network))
    assert kept == [False, False, False, True]
    stopping.restore(one.network)
    assert weights(one)[40:48].tolist() == [2.0] * 8
    assert (stopping.epoch, stopping.metrics) == (2, {"val_accuracy": 0.9})
    best = "the version has the weights of epoch 2 of 4, whose val_accuracy was the best"
    reason = "stopped early, after epoch 4 of 9: 2 epochs without a better val_accuracy (early_stopping)"
    assert stopping.notes(4, 9) == (reason, best)
    assert stopping.notes(4, 4) == (best,)
    with pytest.raises(InvalidInput, match=r"^monitor: 'val_accuracy' is not measured; there are val_loss"):
        stopping.update(5, {"val_loss": 1.0}, one.network)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"step_size": 3}, "step_size: 3: only for the schedule step, not constant"),
        ({"schedule": "cosine", "gamma": 0.5}, "gamma: 0.5: only for the schedule step or plateau, not cosine"),
        ({"schedule": "one_cycle", "warmup_steps": 3}, "warmup_steps: 3: one_cycle warms up by itself"),
        ({"early_stopping": 3, "validation": 0.0}, "early_stopping: val_loss needs held-out rows"),
        ({"monitor": "val_accuracy"}, "monitor: 'val_accuracy': it is what early_stopping watches"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        spec(**options).check()
    assert said in str(refused.value)


def test_a_loss_that_is_no_number_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    broken = loop(rate=0.1, checkpointer=FileCheckpointer(tmp_path / "x", 3))
    rows = FEATURES.clone()
    broken.rows = InMemoryRows(rows, CLASSES, torch.arange(ROWS), 5)
    # Poisoned after the checkpoint.

    def poison() -> None:
        if broken.position.done > 4:
            rows.fill_(float("nan"))

    broken.context = replace(broken.context, check=poison)
    with pytest.raises(
        InvalidInput,
        match=r"0\.1: the loss became nan in epoch 1, step 7; the last good checkpoint is of epoch 1, step 3;",
    ):
        run(broken)
