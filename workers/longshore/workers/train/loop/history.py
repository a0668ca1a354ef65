"""What a training remembers of its epochs: the losses, and which epoch was the best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from longshore.shared.specs.search import lower_is_better
from longshore.workers.train.checkpoint.state_file import State

TRAIN_LOSS, VALIDATION_LOSS = "train_loss", "val_loss"


class TrainingHistory:
    """Follows the metrics of a training. It is part of the checkpoints, so that a resumed training knows all epochs.

    :param monitor: the metric by which epochs are compared; if it is not measured, ``train_loss``.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        #: The first epoch that it knows.
        self.first_epoch = 1
        #: Losses by epoch; the second is empty if no row is held out.
        self.train_losses: list[float] = []
        self.validation_losses: list[float] = []
        #: The first of the best epochs, and its metrics; 0 before the first epoch.
        self.best_epoch = 0
        self.best_metrics: dict[str, float] = {}

    def add(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Record the metrics of an epoch."""
        if self.monitor not in metrics:
            self.monitor = TRAIN_LOSS
        if not self.train_losses:
            self.first_epoch = epoch
        self.train_losses.append(metrics[TRAIN_LOSS])
        if VALIDATION_LOSS in metrics:
            self.validation_losses.append(metrics[VALIDATION_LOSS])
        sign = -1 if lower_is_better(self.monitor) else 1
        if not self.best_epoch or sign * metrics[self.monitor] > sign * self.best_metrics[self.monitor]:
            self.best_epoch, self.best_metrics = epoch, dict(metrics)

    def state_dict(self) -> State:
        """The state for a checkpoint."""
        return {
            "monitor": self.monitor,
            "first_epoch": self.first_epoch,
            "train_losses": torch.tensor(self.train_losses, dtype=torch.float64),
            "validation_losses": torch.tensor(self.validation_losses, dtype=torch.float64),
            "best": {"epoch": self.best_epoch, "metrics": dict(self.best_metrics)},
        }

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Restore a state of :meth:`state_dict`.

        :param state: ``None`` for a checkpoint of a release without a history, which then begins here; also if no epoch
            follows, so that there is no best one.
        """
        if state is None:
            return
        self.monitor, self.first_epoch = state["monitor"], state["first_epoch"]
        self.train_losses = state["train_losses"].tolist()
        self.validation_losses = state["validation_losses"].tolist()
        self.best_epoch, self.best_metrics = state["best"]["epoch"], dict(state["best"]["metrics"])
