"""The training loop in PyTorch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.callbacks import Check
from longshore.workers.train.checkpoint.state_file import State
from longshore.workers.train.data.batches import TrainingRows
from longshore.workers.train.loop.context import Checkpointer, TrainingContext
from longshore.workers.train.loop.early_stopping import EarlyStopping
from longshore.workers.train.loop.history import TrainingHistory
from longshore.workers.train.loop.lr_schedule import LRSchedule
from longshore.workers.train.loop.precision import Precision
from longshore.workers.train.loop.pretrained import Distillation
from longshore.workers.train.objective.losses import Loss, NonFiniteLoss, refuse_non_finite_loss
from longshore.workers.train.strategy.base import Strategy

#: Steps between two checks of the loss. A check waits for the device, so not every step makes one.
_LOSS_CHECK_STEPS = 200
#: Seconds between two reports of steps.
_REPORT_INTERVAL_S = 1.0


class Evaluator(Protocol):
    """Measures a network on held-out rows."""

    def run(self, network: nn.Module, check: Check) -> dict[str, float]:
        """The loss and the metrics by name, with a prefix. Leaves ``network`` in evaluation mode."""


@dataclass
class TrainingPosition:
    """How far a training has come."""

    #: The current epoch, from 1.
    epoch: int = 1
    #: Batches of the epoch that are done.
    batch: int = 0
    #: Optimizer steps over all epochs.
    done: int = 0
    #: Mean losses of the finished batches of this epoch.
    losses: torch.Tensor | None = None
    #: Metrics of the last finished epoch.
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluators:
    """Run after each epoch."""

    #: ``None`` if no row is held out.
    validation: Evaluator | None = None
    #: Measures the training rows, if the job asks for that.
    train: Evaluator | None = None


@dataclass
class TrainingLoop:
    """Runs a training from its position to its end. The rows are standardised already, so no step does it again."""

    spec: TrainSpec
    context: TrainingContext
    network: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Loss
    #: Yields the rows of this process, and counts those of all processes.
    rows: TrainingRows
    evaluators: Evaluators = field(default_factory=Evaluators)
    schedule: LRSchedule | None = None
    early_stopping: EarlyStopping | None = None
    #: Adds a teacher's outputs to the loss.
    distillation: Distillation | None = None
    #: The module that runs the forward passes of training; ``None`` for the network itself.
    model: nn.Module | None = None
    position: TrainingPosition = field(default_factory=TrainingPosition)
    precision: Precision = field(init=False)
    history: TrainingHistory = field(init=False)
    _reported_at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.precision = Precision(self.spec.precision, self.context.device)
        self.history = TrainingHistory(self.spec.monitor)

    @property
    def strategy(self) -> Strategy:
        return self.context.strategy

    @property
    def checkpointer(self) -> Checkpointer | None:
        return self.context.checkpoints.checkpointer

    def run(self, epochs: int | None = None) -> dict[str, float]:
        """Train until ``epochs`` epochs are done. Default: those of the spec.

        :returns: the metrics of the last epoch.
        :raises InvalidInput: a loss is not finite.
        """
        self._reported_at = time.monotonic()
        epochs = self.spec.epochs if epochs is None else epochs
        while self.position.epoch <= epochs and not (self.early_stopping is not None and self.early_stopping.stopped):
            metrics = self._epoch()
            self.context.report(self.position.epoch, dict(metrics))
            if self.schedule is not None:
                self.schedule.epoch(metrics)
            if self.early_stopping is not None:
                self.early_stopping.update(self.position.epoch, metrics, self.network)
            self.history.add(self.position.epoch, metrics)
            self.position = TrainingPosition(epoch=self.position.epoch + 1, done=self.position.done, metrics=metrics)
        return self.position.metrics

    def state(self) -> dict[str | int, State]:
        """Everything that the rest of the training depends on, except the rows and the spec."""
        position = self.position
        return {
            "network": dict(self.strategy.network_state_dict(self.network)),
            "optimizer": self.strategy.optimizer_state_dict(self.network, self.optimizer),
            "precision": self.precision.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "stopping": None if self.early_stopping is None else self.early_stopping.state_dict(self.strategy),
            "history": self.history.state_dict(),
            "random": self.strategy.all_gather(torch.get_rng_state()),
            "random_cuda": self.strategy.all_gather(torch.cuda.get_rng_state(self.context.device))
            if self.context.device.type == "cuda"
            else None,
            "place": {
                **{"epoch": position.epoch, "batch": position.batch, "done": position.done},
                "losses": None
                if position.losses is None
                else self.strategy.all_gather(position.losses[: position.batch]),
                "metrics": dict(position.metrics),
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a :meth:`state`."""
        random = self.strategy.local_shard(state["random"])
        self.strategy.load_network_state_dict(self.network, state["network"])
        self.strategy.load_optimizer_state_dict(self.network, self.optimizer, state["optimizer"])
        self.precision.load_state_dict(state["precision"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        if self.early_stopping is not None:
            self.early_stopping.load_state_dict(state["stopping"], self.strategy, self.network)
        self.history.load_state_dict(state.get("history"))
        if "history" not in state and self.early_stopping is not None:
            # A checkpoint of a release without a history: early stopping knows the best epoch.
            self.history.best_epoch = self.early_stopping.epoch
            self.history.best_metrics = dict(self.early_stopping.metrics)
        torch.set_rng_state(random)
        if state["random_cuda"] is not None and self.context.device.type == "cuda":
            torch.cuda.set_rng_state(self.strategy.local_shard(state["random_cuda"]), self.context.device)
        saved = state["place"]
        losses = self._no_losses()
        if saved["losses"] is not None:
            losses[: saved["batch"]] = self.strategy.local_shard(saved["losses"]).to(self.context.device)
        self.position = TrainingPosition(saved["epoch"], saved["batch"], saved["done"], losses, dict(saved["metrics"]))

    def _epoch(self) -> dict[str, float]:
        """Train on the remaining rows of an epoch, then evaluate."""
        losses = self.strategy.all_reduce(self._steps())
        self._check_finite(losses, "the loss")
        sizes = torch.full_like(losses, self.spec.batch_size)
        # The last batch may be smaller, and every row counts the same.
        sizes[-1] = self.rows.count - self.spec.batch_size * (len(losses) - 1)
        measured = {} if self.evaluators.train is None else self.evaluators.train.run(self.network, self.context.check)
        # The loss of the rows as they were trained on replaces the measured one.
        metrics = measured | {"train_loss": float((losses * sizes).sum() / self.rows.count)}
        if self.evaluators.validation is not None:
            metrics |= self.evaluators.validation.run(self.network, self.context.check)
            self.check_finite(metrics["val_loss"], "the loss on held-out rows")
        return metrics

    def _steps(self) -> torch.Tensor:
        """Make one step for every ``accumulate`` batches. Returns this process's share of the losses, on the device.

        Only the checks of the loss wait for the device.
        """
        position = self.position
        losses = position.losses = self._no_losses() if position.losses is None else position.losses
        last = len(losses) - 1
        model = self.network if self.model is None else self.model
        model.train()
        self.optimizer.zero_grad()
        for batch, (inputs, targets) in enumerate(
            self.rows.batches(position.epoch, self.spec.batch_size, position.batch), position.batch
        ):
            self.context.check()
            ends = batch == last or (batch + 1) % self.spec.accumulate == 0
            own, share = self._shares(batch)
            with self.strategy.gradient_sync(model, ends):
                with self.precision.context():
                    outputs = model(inputs)
                    loss = self.loss(outputs, targets)
                    if self.distillation is not None:
                        loss = self.distillation.loss(inputs, outputs, loss)
                losses[batch] = _scaled(loss.detach(), own)
                self.precision.backward(_scaled(loss, share))
            if ends:
                self.precision.step(self.optimizer, self.network, self.spec.clip_grad_norm)
                self.optimizer.zero_grad()
                if self.schedule is not None:
                    self.schedule.step()
                position.batch, position.done = batch + 1, position.done + 1
                self._after_step(losses)
        return losses

    def _after_step(self, losses: torch.Tensor) -> None:
        """Report, check and save after a step, if that is due; otherwise cheap."""
        position = self.position
        report_due = self.context.report_step is not None and time.monotonic() - self._reported_at >= _REPORT_INTERVAL_S
        checkpoint_due = self.checkpointer is not None and self.checkpointer.due(position.done)
        report, checkpoint = self.strategy.broadcast(report_due, checkpoint_due)
        if not (report or checkpoint or position.done % _LOSS_CHECK_STEPS == 0):
            return
        known = self.strategy.all_reduce(losses[: position.batch])
        # Save only a state that is good to resume from.
        self._check_finite(known, "the loss")
        if report and self.context.report_step is not None:
            self._reported_at = time.monotonic()
            rate = float(self.optimizer.param_groups[0]["lr"])
            self.context.report_step(position.done, {"step/loss": float(known[-1]), "step/learning_rate": rate})
        if checkpoint and self.checkpointer is not None:
            self.checkpointer.save(self.state, position.epoch, position.done)

    def _shares(self, batch: int) -> tuple[float, float]:
        """The weight of this process's batch mean: in the mean of the batch, and in the mean of its step.

        The second is multiplied by the number of processes, because gradients are averaged, not added.
        """
        rows = min(self.spec.batch_size, self.rows.count - batch * self.spec.batch_size)
        mine = self.strategy.local_rows(rows)
        first = batch - batch % self.spec.accumulate
        of_step = min(self.spec.accumulate * self.spec.batch_size, self.rows.count - first * self.spec.batch_size)
        own = mine.stop - mine.start
        return own / rows, own * self.strategy.world_size / of_step

    def _no_losses(self) -> torch.Tensor:
        return torch.zeros(-(-self.rows.count // self.spec.batch_size), device=self.context.device)

    def check_finite(self, loss: float, what: str) -> None:
        """:raises InvalidInput: a measured loss is infinite or NaN."""
        self._check_finite(torch.tensor([loss]), what)

    def _check_finite(self, losses: torch.Tensor, what: str) -> None:
        rate = float(self.optimizer.param_groups[0]["lr"])
        last = None if self.checkpointer is None else self.checkpointer.last
        clipped = self.spec.clip_grad_norm is not None
        description = NonFiniteLoss(what, rate, self.spec.learning_rate, clipped, self.position.epoch, last)
        refuse_non_finite_loss(losses, description)


def _scaled(loss: torch.Tensor, share: float) -> torch.Tensor:
    return loss if share == 1 else loss * share
