"""What a training run works with besides its spec and its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from longshore.workers.train.callbacks import Check, Report
from longshore.workers.train.checkpoint.state_file import State
from longshore.workers.train.loop.pretrained import Pretrained
from longshore.workers.train.strategy.base import Strategy
from longshore.workers.train.strategy.single import Single


class Checkpointer(Protocol):
    """Saves checkpoints."""

    @property
    def last(self) -> str | None:
        """The name of the last saved checkpoint for people: ``epoch 3, step 120``."""

    def due(self, done: int) -> bool:
        """Whether a checkpoint is due after ``done`` steps; cheap."""

    def save(self, take: Callable[[], State], epoch: int, done: int) -> None:
        """Save a checkpoint. Writing may continue after this returns."""


@dataclass(frozen=True)
class CheckpointHooks:
    """How a training is saved and resumed; by default it is not."""

    checkpointer: Checkpointer | None = None
    #: The state of the loop to resume from.
    state: Mapping[str, Any] | None = None


def _report_nothing(step: int, metrics: dict[str, float]) -> None:
    """The default of reports."""


def _never_stop() -> None:
    """The default of :attr:`TrainingContext.check`."""


@dataclass(frozen=True)
class TrainingContext:
    """The device of a run, what it calls, and what it starts from. One object, passed on whole."""

    #: The device of this process.
    device: torch.device
    #: Called after each epoch, from 1, with ``train_loss`` and, if rows are held out, their loss and metrics, such as
    #: ``val_loss`` and ``val_accuracy``; at the end, if there are test rows, with the same under the prefix ``test_``.
    report: Report = _report_nothing
    #: Called at most once per second with the steps that are done, ``step/loss`` and ``step/learning_rate``; ``None``
    #: for no reports of steps.
    report_step: Report | None = None
    #: Called before each batch. An error that it raises stops the run.
    check: Check = _never_stop
    checkpoints: CheckpointHooks = field(default_factory=CheckpointHooks)
    #: The networks that the spec names to start from or to learn from.
    pretrained: Pretrained = field(default_factory=Pretrained)
    #: How the training is spread over devices. Each process runs the training, and the result of rank 0 counts.
    strategy: Strategy = field(default_factory=Single)
