"""Processes that train together, for tests: gloo on this machine, met by a file, and no service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import distributed, nn

from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.checkpoint.state_file import State, read_state, write_state
from longshore.workers.train.data.dataset import Tables
from longshore.workers.train.loop.context import CheckpointHooks, TrainingContext
from longshore.workers.train.loop.result import TrainedModel
from longshore.workers.train.loop.trainer import train
from longshore.workers.train.strategy.base import Strategy
from longshore.workers.train.strategy.ddp import Ddp
from longshore.workers.train.strategy.fsdp import Fsdp
from longshore.workers.train.strategy.single import Single
from tests.waiting import TIMEOUT_S

ROWS, WIDTH = 203, 12


@dataclass(frozen=True)
class Asked:
    """A training, of the options that differ from those of :func:`spec`."""

    options: Mapping[str, object]
    #: Keep the state after so many steps in ``state`` and in the end in ``end``.
    keep_at: int | None = None
    #: Go on from that.
    resume: bool = False


@dataclass(frozen=True)
class Trained:
    """What a training has given."""

    weights: Mapping[str, torch.Tensor]
    metrics: list[dict[str, float]]
    confusion: list[list[int]] | None
    notes: tuple[str, ...]

    def distance(self, other: Trained) -> float:
        """The largest difference between two weights."""
        return max(float((self.weights[name] - other.weights[name]).abs().max()) for name in other.weights)


class FileCheckpointer:
    """Keeps a state in a file at a step; of the ranks other than 0 takes part in it."""

    last: str | None = None

    def __init__(self, path: Path | None, at: int) -> None:
        self._path, self._at = path, at

    def due(self, done: int) -> bool:
        return self._path is not None and done == self._at

    def save(self, take: Callable[[], State], epoch: int, done: int) -> None:
        state = take()
        if self._path is not None and done == self._at:
            write_state(state, self._path)


def spec(options: Mapping[str, object]) -> TrainSpec:
    """A small classifier; its last batch is smaller than the others."""
    given: dict[str, object] = {"model": "m", "family": "mlp", "data": {"uri": "/", "format": "csv"}, "target": "y"}
    given |= {"config": {"hidden": [16]}} if options.get("family", "mlp") == "mlp" else {}
    return TrainSpec.model_validate({**given, "epochs": 2, "batch_size": 41, "learning_rate": 0.01, **options})


def table() -> pa.Table:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(ROWS, WIDTH)).astype(np.float32)
    classes = (rows.sum(axis=1) > 0).astype(int) + (rows[:, 0] > 1)
    return pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), WIDTH), "y": pa.array(classes)})


def alone(asked: Asked) -> Trained:
    """Train on one device."""
    return _train(asked, None, None)


def together(asked: Sequence[Asked], kind: str, size: int, folder: Path) -> list[Trained]:
    """Train one after the other in so many processes; gives what rank 0 has."""
    tasks = json.dumps([vars(each) for each in asked])
    command = [sys.executable, "-P", __file__, kind, str(size), tasks, str(folder)]
    # PYTHONPATH: this file imports others of the tests.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ranks = [subprocess.Popen([*command, str(rank)], env=environment) for rank in range(size)]
    try:
        assert [rank.wait(TIMEOUT_S) for rank in ranks] == [0] * size
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    found: list[Any] = [read_state(folder / str(number)) for number in range(len(asked))]
    return [Trained(each["weights"], each["metrics"], each["confusion"], each["notes"]) for each in found]


def main() -> None:
    """One of the processes."""
    kind, size, tasks, folder, rank = sys.argv[1:]
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=int(rank), world_size=int(size))
    for number, asked in enumerate(json.loads(tasks)):
        trained = _train(Asked(**asked), Fsdp() if kind == "fsdp" else Ddp(), Path(folder))
        if rank == "0":
            write_state(vars(trained), Path(folder) / str(number))
        # The next one may go on from what rank 0 has kept.
        distributed.barrier()
    distributed.destroy_process_group()


def _train(asked: Asked, strategy: Strategy | None, folder: Path | None) -> Trained:
    torch.set_num_threads(1)
    metrics: list[dict[str, float]] = []
    checkpoints = CheckpointHooks()
    if folder is not None and strategy is not None:
        path = folder / "state"
        state: Any = read_state(path) if asked.resume else None
        checkpointer = None
        if asked.keep_at is not None:
            checkpointer = FileCheckpointer(path if strategy.rank == 0 else None, asked.keep_at)
        checkpoints = CheckpointHooks(checkpointer, state)
    context = TrainingContext(
        torch.device("cpu"),
        lambda epoch, measured: metrics.append(measured),
        checkpoints=checkpoints,
        strategy=strategy or Single(),
    )
    trained: TrainedModel = train(spec(asked.options), Tables(table()), context)
    return Trained(_tensors(trained.module), metrics, trained.confusion, trained.notes)


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


if __name__ == "__main__":
    main()
