"""The training of a network on rows that were read: put in place, looped over, measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.train import TrainSpec
from longshore.workers.families.standardize import Standardize
from longshore.workers.train.data.batches import HeldOutRows
from longshore.workers.train.data.dataset import TrainingData
from longshore.workers.train.data.on_device import Placed, place
from longshore.workers.train.data.stream.dataset import StreamedData
from longshore.workers.train.loop.early_stopping import Stopping
from longshore.workers.train.loop.loop import Keeper, Loop
from longshore.workers.train.loop.lr_schedule import Schedule
from longshore.workers.train.loop.optimizers import make_optimizer
from longshore.workers.train.loop.precision import Precision
from longshore.workers.train.loop.pretrained import Prior, Teaching
from longshore.workers.train.loop.result import Check, Report
from longshore.workers.train.objective.criteria import make_loss, make_training_loss
from longshore.workers.train.objective.embedding_evaluator import VectorEvaluation
from longshore.workers.train.objective.evaluator import Evaluation
from longshore.workers.train.strategy.base import Strategy

#: Classifiers of more have no confusion matrix.
MOST_CLASSES = 100

Data: TypeAlias = TrainingData | StreamedData


@dataclass(frozen=True)
class Keeping:
    """What makes a training survive its worker; by default nothing does."""

    keeper: Keeper | None = None
    #: Of the loop, to go on from.
    state: Mapping[str, Any] | None = None
    report_step: Report | None = None


@dataclass(frozen=True)
class Fitted:
    """What became of a network."""

    standardize: Standardize | None
    metrics: dict[str, float]
    notes: tuple[str, ...]
    confusion: list[list[int]] | None


@dataclass(frozen=True)
class Fitting:
    """Trains a network on rows. The parameters are those of :func:`~longshore.workers.train.loop.trainer.train`."""

    spec: TrainSpec
    data: Data
    device: torch.device
    report: Report
    check: Check
    keeping: Keeping
    prior: Prior
    strategy: Strategy

    def run(self, network: nn.Module) -> Fitted:
        """Train ``network`` in place.

        :raises InvalidInput: the loss is no longer finite, or the run does not fit the memory of the device.
        """
        try:
            return self._run(network)
        except torch.OutOfMemoryError as error:
            raise self._too_large() from error

    def _run(self, network: nn.Module) -> Fitted:
        self.strategy.place(network, self.device, self.spec.seed)
        rows = self._place()
        loop = self._loop(network, rows)
        if self.keeping.state is not None:
            loop.restore(self.keeping.state)
        metrics = dict(loop.run(self.spec.epochs, self.report))
        if self.keeping.keeper is not None:
            self.keeping.keeper.keep(loop.state, loop.place.epoch, loop.place.done)
        notes: tuple[str, ...] = ()
        if loop.stopping is not None:
            loop.stopping.restore(network)
            metrics = dict(loop.stopping.metrics)
            notes = (loop.stopping.note(loop.place.epoch - 1),)
        confusion = self._confusion(network, loop)
        if rows.test is not None:
            tested = self._evaluation(rows.test, "test_").run(network, self.check)
            self.report(self.spec.epochs, dict(tested))
            metrics |= tested
        return Fitted(rows.standardize, metrics, notes, confusion)

    def _place(self) -> Placed:
        given = self.prior.standardize(self.data.signature.width)
        spec = self.spec
        if self.prior.base is not None:
            spec = spec.model_copy(update={"standardize": given is not None})
        return place(spec, self.data, self.device, given, self.strategy)

    def _loop(self, network: nn.Module, rows: Placed) -> Loop:
        spec = self.spec
        optimizer = make_optimizer(spec, network)
        steps = spec.epochs * -(-rows.train.count // (spec.batch_size * spec.accumulate))
        changes = spec.schedule != "constant" or spec.warmup_steps
        return Loop(
            network=network,
            optimizer=optimizer,
            loss=make_training_loss(spec, self.data, self.device),
            rows=rows.train,
            batch_size=spec.batch_size,
            device=self.device,
            evaluation=None if rows.validation is None else self._evaluation(rows.validation, "val_"),
            trained=self._evaluation(rows.trained, "train_") if spec.train_metrics else None,
            check=self.check,
            precision=Precision(spec.precision, self.device),
            accumulate=spec.accumulate,
            clip_grad_norm=spec.clip_grad_norm,
            schedule=Schedule(spec, optimizer, steps) if changes else None,
            stopping=None if spec.early_stopping is None else Stopping(spec.early_stopping, spec.monitor),
            teaching=self._teaching(rows.standardize),
            keeper=self.keeping.keeper,
            report_step=self.keeping.report_step,
            strategy=self.strategy,
            model=self.strategy.wrap(network, self.data.signature.width),
        )

    def _teaching(self, standardize: Standardize | None) -> Teaching | None:
        if self.prior.teacher is None:
            return None
        self.prior.teacher.to(self.device)
        return Teaching(self.spec, self.prior, self.data.signature, standardize)

    def _evaluation(self, rows: HeldOutRows, prefix: str) -> Evaluation | VectorEvaluation:
        spec, task = self.spec, self.data.signature.task
        loss = make_loss(spec, task)
        if task == "embedding":
            return VectorEvaluation(rows, loss, spec.batch_size, self.device, prefix, spec.metrics)
        return Evaluation(
            *(rows, self._classes, loss, spec.batch_size, self.device, prefix, spec.metrics, task, self.strategy)
        )

    def _confusion(self, network: nn.Module, loop: Loop) -> list[list[int]] | None:
        if not isinstance(loop.evaluation, Evaluation) or self.data.signature.task != "classification":
            return None
        if (self._classes or 0) > MOST_CLASSES:
            return None
        return loop.evaluation.confusion(network, self.check)

    @property
    def _classes(self) -> int | None:
        labels = self.data.signature.labels
        return None if labels is None else len(labels)

    def _too_large(self) -> InvalidInput:
        size, data = self.spec.batch_size, self.data
        if isinstance(data, StreamedData):
            return InvalidInput(
                "batch_size",
                f"{size}: three windows of {data.window(self.spec)} rows of {data.signature.width} numbers and the "
                f"network's work do not fit the memory of {self.device}; use smaller batches, a smaller network or a "
                "smaller shuffle_window",
            )
        count, width = data.features.shape
        return InvalidInput(
            "batch_size",
            f"{size}: {count} rows of {width} numbers ({data.features.nbytes / 2**20:.0f} MiB) and the network's work "
            f"do not fit the memory of {self.device}; use smaller batches, a smaller network or fewer rows",
        )
