"""The training loop: PyTorch's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from longshore.workers.train.losses import Loss, NotFinite, refuse_not_finite
from longshore.workers.train.outcome import Check, Report
from longshore.workers.train.precision import Precision
from longshore.workers.train.prior import Teaching
from longshore.workers.train.rows import TrainingRows
from longshore.workers.train.schedules import Schedule
from longshore.workers.train.snapshot import State
from longshore.workers.train.stopping import Stopping

#: Steps between looks at the loss. Each look waits for the device, so it is not done at every step.
_LOOK_EVERY = 200
#: Seconds between two reports of a step.
_TELL_EVERY = 1.0


class Measurement(Protocol):
    """What measures a network on held-out rows."""

    def run(self, network: nn.Module, check: Check) -> dict[str, float]:
        """``val_loss`` and other metrics, or those of rows to test on. ``network`` is left in evaluation mode."""


class Keeper(Protocol):
    """What keeps checkpoints."""

    @property
    def last(self) -> str | None:
        """The last that was kept, as people call it: ``epoch 3, step 120``."""

    def due(self, done: int) -> bool:
        """Whether one is to be taken after so many steps; cheap."""

    def keep(self, take: Callable[[], State], epoch: int, done: int) -> None:
        """Take one. It may still be being written when this returns."""


@dataclass
class Place:
    """How far a training is."""

    #: The one that it is in, from 1.
    epoch: int = 1
    #: Batches of it that are done.
    batch: int = 0
    #: Steps of the optimizer, of all epochs.
    done: int = 0
    #: Mean losses of the batches of this epoch that are done.
    losses: torch.Tensor | None = None
    #: Of the last epoch that was ended.
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass
class Loop:
    """A training from wherever it is to its end. The rows are standardised already, so that no step does it again."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Loss
    rows: TrainingRows
    batch_size: int
    device: torch.device
    #: ``None`` where no row is held out.
    evaluation: Measurement | None
    check: Check
    precision: Precision
    #: Batches whose gradients are added up to one step.
    accumulate: int = 1
    #: Of the rows to train on, where they are to be measured, too.
    trained: Measurement | None = None
    #: The norm that gradients are scaled down to; ``None`` leaves them.
    clip_grad_norm: float | None = None
    schedule: Schedule | None = None
    stopping: Stopping | None = None
    #: Mixes what a teacher says into the loss.
    teaching: Teaching | None = None
    keeper: Keeper | None = None
    #: Told the steps that are done, and ``step/loss`` and ``step/learning_rate``.
    report_step: Report | None = None
    place: Place = field(default_factory=Place)
    _told: float = 0.0

    def run(self, epochs: int, report: Report) -> dict[str, float]:
        """Train until so many epochs are done.

        :returns: the metrics of the last.
        :raises InvalidInput: a loss is not finite.
        """
        self._told = time.monotonic()
        while self.place.epoch <= epochs and not (self.stopping is not None and self.stopping.stopped):
            metrics = self._epoch()
            report(self.place.epoch, dict(metrics))
            if self.schedule is not None:
                self.schedule.epoch(metrics)
            if self.stopping is not None:
                self.stopping.look(self.place.epoch, metrics, self.network)
            self.place = Place(epoch=self.place.epoch + 1, done=self.place.done, metrics=metrics)
        return self.place.metrics

    def state(self) -> dict[str | int, State]:
        """Everything that the rest of the training depends on, but the rows and the spec."""
        place = self.place
        return {
            "network": dict(self.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.precision.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "stopping": None if self.stopping is None else self.stopping.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
            "place": {
                **{"epoch": place.epoch, "batch": place.batch, "done": place.done},
                "losses": None if place.losses is None else place.losses[: place.batch],
                "metrics": dict(place.metrics),
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.load_state_dict(state["precision"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        if self.stopping is not None:
            self.stopping.load_state_dict(state["stopping"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"], self.device)
        place = state["place"]
        losses = self._no_losses()
        if place["losses"] is not None:
            losses[: place["batch"]] = place["losses"].to(self.device)
        self.place = Place(place["epoch"], place["batch"], place["done"], losses, dict(place["metrics"]))

    def _epoch(self) -> dict[str, float]:
        """Train on the rest of the rows of an epoch, then evaluate."""
        losses = self._steps()
        sizes = torch.full_like(losses, self.batch_size)
        # The last batch may be smaller; every row counts the same.
        sizes[-1] = self.rows.count - self.batch_size * (len(losses) - 1)
        measured = {} if self.trained is None else self.trained.run(self.network, self.check)
        # The loss is that of the rows as they were trained on.
        metrics = measured | {"train_loss": float((losses * sizes).sum() / self.rows.count)}
        if self.evaluation is not None:
            metrics |= self.evaluation.run(self.network, self.check)
            self._look(torch.tensor([metrics["val_loss"]]), "the loss on held-out rows")
        return metrics

    def _steps(self) -> torch.Tensor:
        """One step for every ``accumulate`` batches. Gives the batches' losses, on the device.

        Nothing here waits for the device but the looks.
        """
        place = self.place
        losses = place.losses = self._no_losses() if place.losses is None else place.losses
        last = len(losses) - 1
        self.network.train()
        self.optimizer.zero_grad()
        for batch, (inputs, targets) in enumerate(
            self.rows.batches(place.epoch, self.batch_size, place.batch), place.batch
        ):
            self.check()
            with self.precision.context():
                outputs = self.network(inputs)
                loss = self.loss(outputs, targets)
                if self.teaching is not None:
                    loss = self.teaching.loss(inputs, outputs, loss)
            losses[batch] = loss.detach()
            self.precision.backward(loss if self.accumulate == 1 else loss * self._share(batch, len(targets)))
            if batch == last or (batch + 1) % self.accumulate == 0:
                self.precision.step(self.optimizer, self.network, self.clip_grad_norm)
                self.optimizer.zero_grad()
                if self.schedule is not None:
                    self.schedule.step()
                place.batch, place.done = batch + 1, place.done + 1
                self._between(losses)
        self._look(losses, "the loss")
        return losses

    def _between(self, losses: torch.Tensor) -> None:
        """After each step: cheap, but for the moments at which something is to be told, looked at or kept."""
        place = self.place
        if place.done % _LOOK_EVERY == 0:
            self._look(losses[: place.batch], "the loss")
        if self.report_step is not None and (now := time.monotonic()) - self._told >= _TELL_EVERY:
            self._told = now
            rate = float(self.optimizer.param_groups[0]["lr"])
            self._look(losses[: place.batch], "the loss")
            self.report_step(place.done, {"step/loss": float(losses[place.batch - 1]), "step/learning_rate": rate})
        if self.keeper is not None and self.keeper.due(place.done):
            # What is kept must be good to go on from.
            self._look(losses[: place.batch], "the loss")
            self.keeper.keep(self.state, place.epoch, place.done)

    def _share(self, batch: int, rows: int) -> float:
        """What the mean over a batch counts for in the mean over all batches of its step."""
        first = batch - batch % self.accumulate
        return rows / min(self.accumulate * self.batch_size, self.rows.count - first * self.batch_size)

    def _no_losses(self) -> torch.Tensor:
        return torch.zeros(-(-self.rows.count // self.batch_size), device=self.device)

    def _look(self, losses: torch.Tensor, what: str) -> None:
        rate = float(self.optimizer.param_groups[0]["lr"])
        last = None if self.keeper is None else self.keeper.last
        refuse_not_finite(losses, NotFinite(what, rate, self.place.epoch, last))
