"""The training loop: PyTorch's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from longshore.workers.train.checkpoint.state_file import State
from longshore.workers.train.data.batches import TrainingRows
from longshore.workers.train.loop.early_stopping import Stopping
from longshore.workers.train.loop.lr_schedule import Schedule
from longshore.workers.train.loop.precision import Precision
from longshore.workers.train.loop.pretrained import Teaching
from longshore.workers.train.loop.result import Check, Report
from longshore.workers.train.objective.losses import Loss, NotFinite, refuse_not_finite
from longshore.workers.train.strategy.base import Strategy
from longshore.workers.train.strategy.single import Single

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
    #: Over which devices; ``rows`` gives those of this process, and counts those of all.
    strategy: Strategy = field(default_factory=Single)
    #: What the forward passes of training go through; ``None``: the network.
    model: nn.Module | None = None
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
            "network": dict(self.strategy.weights(self.network)),
            "optimizer": self.strategy.optimizer_state(self.network, self.optimizer),
            "precision": self.precision.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "stopping": None if self.stopping is None else self.stopping.state_dict(self.strategy),
            "random": self.strategy.gather(torch.get_rng_state()),
            "random_cuda": self.strategy.gather(torch.cuda.get_rng_state(self.device))
            if self.device.type == "cuda"
            else None,
            "place": {
                **{"epoch": place.epoch, "batch": place.batch, "done": place.done},
                "losses": None if place.losses is None else self.strategy.gather(place.losses[: place.batch]),
                "metrics": dict(place.metrics),
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        random = self.strategy.mine(state["random"])
        self.strategy.load_weights(self.network, state["network"])
        self.strategy.load_optimizer_state(self.network, self.optimizer, state["optimizer"])
        self.precision.load_state_dict(state["precision"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        if self.stopping is not None:
            self.stopping.load_state_dict(state["stopping"], self.strategy, self.network)
        torch.set_rng_state(random)
        if state["random_cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(self.strategy.mine(state["random_cuda"]), self.device)
        place = state["place"]
        losses = self._no_losses()
        if place["losses"] is not None:
            losses[: place["batch"]] = self.strategy.mine(place["losses"]).to(self.device)
        self.place = Place(place["epoch"], place["batch"], place["done"], losses, dict(place["metrics"]))

    def _epoch(self) -> dict[str, float]:
        """Train on the rest of the rows of an epoch, then evaluate."""
        losses = self.strategy.total(self._steps())
        self._look(losses, "the loss")
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
        """One step for every ``accumulate`` batches. Gives this process's part of the batches' losses, on the device.

        Nothing here waits for the device but the looks.
        """
        place = self.place
        losses = place.losses = self._no_losses() if place.losses is None else place.losses
        last = len(losses) - 1
        model = self.network if self.model is None else self.model
        model.train()
        self.optimizer.zero_grad()
        for batch, (inputs, targets) in enumerate(
            self.rows.batches(place.epoch, self.batch_size, place.batch), place.batch
        ):
            self.check()
            ends = batch == last or (batch + 1) % self.accumulate == 0
            own, share = self._shares(batch)
            with self.strategy.adding_up(model, ends):
                with self.precision.context():
                    outputs = model(inputs)
                    loss = self.loss(outputs, targets)
                    if self.teaching is not None:
                        loss = self.teaching.loss(inputs, outputs, loss)
                losses[batch] = _scaled(loss.detach(), own)
                self.precision.backward(_scaled(loss, share))
            if ends:
                self.precision.step(self.optimizer, self.network, self.clip_grad_norm)
                self.optimizer.zero_grad()
                if self.schedule is not None:
                    self.schedule.step()
                place.batch, place.done = batch + 1, place.done + 1
                self._between(losses)
        return losses

    def _between(self, losses: torch.Tensor) -> None:
        """After each step: cheap, but for the moments at which something is to be told, looked at or kept."""
        place = self.place
        told = self.report_step is not None and time.monotonic() - self._told >= _TELL_EVERY
        tell, keep = self.strategy.agree(told, self.keeper is not None and self.keeper.due(place.done))
        if not (tell or keep or place.done % _LOOK_EVERY == 0):
            return
        known = self.strategy.total(losses[: place.batch])
        # What is kept must be good to go on from.
        self._look(known, "the loss")
        if tell and self.report_step is not None:
            self._told = time.monotonic()
            rate = float(self.optimizer.param_groups[0]["lr"])
            self.report_step(place.done, {"step/loss": float(known[-1]), "step/learning_rate": rate})
        if keep and self.keeper is not None:
            self.keeper.keep(self.state, place.epoch, place.done)

    def _shares(self, batch: int) -> tuple[float, float]:
        """What this process's mean over a batch counts for: in the mean over the batch, and in that over its step.

        The second is as much larger as there are processes: their gradients are averaged, not added.
        """
        rows = min(self.batch_size, self.rows.count - batch * self.batch_size)
        mine = self.strategy.own(rows)
        first = batch - batch % self.accumulate
        of_step = min(self.accumulate * self.batch_size, self.rows.count - first * self.batch_size)
        own = mine.stop - mine.start
        return own / rows, own * self.strategy.size / of_step

    def _no_losses(self) -> torch.Tensor:
        return torch.zeros(-(-self.rows.count // self.batch_size), device=self.device)

    def _look(self, losses: torch.Tensor, what: str) -> None:
        rate = float(self.optimizer.param_groups[0]["lr"])
        last = None if self.keeper is None else self.keeper.last
        refuse_not_finite(losses, NotFinite(what, rate, self.place.epoch, last))


def _scaled(loss: torch.Tensor, share: float) -> torch.Tensor:
    return loss if share == 1 else loss * share
