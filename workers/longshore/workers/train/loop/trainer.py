"""A whole training run: from rows to a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import FamilyConfig
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build
from longshore.workers.families.base import Family
from longshore.workers.families.layout import channels_last
from longshore.workers.families.model import assemble
from longshore.workers.families.registry import get_family
from longshore.workers.families.standardize import Standardize
from longshore.workers.train.callbacks import Check, Report
from longshore.workers.train.data.batches import HeldOutRows
from longshore.workers.train.data.dataset import Tables, TrainingData, read_training_data
from longshore.workers.train.data.load_rows import OpenedRows
from longshore.workers.train.data.on_device import DeviceRows, put_on_device
from longshore.workers.train.data.stream.dataset import StreamedData, read_streams
from longshore.workers.train.loop.early_stopping import EarlyStopping
from longshore.workers.train.loop.initialize import initialize
from longshore.workers.train.loop.loop import Checkpointer, TrainingLoop
from longshore.workers.train.loop.lr_schedule import LRSchedule
from longshore.workers.train.loop.optimizers import make_optimizer
from longshore.workers.train.loop.precision import Precision
from longshore.workers.train.loop.pretrained import Distillation, Pretrained, freeze
from longshore.workers.train.loop.result import TrainedModel
from longshore.workers.train.objective.criteria import make_loss, make_training_loss
from longshore.workers.train.objective.embedding_evaluator import EmbeddingEvaluator
from longshore.workers.train.objective.evaluator import MetricsEvaluator
from longshore.workers.train.strategy.base import Strategy
from longshore.workers.train.strategy.single import Single

#: A classifier with more classes has no confusion matrix.
MAX_CONFUSION_CLASSES = 100

Data: TypeAlias = TrainingData | StreamedData


@dataclass(frozen=True)
class CheckpointHooks:
    """How a training is saved and resumed; by default it is not."""

    checkpointer: Checkpointer | None = None
    #: The state of the loop to resume from.
    state: Mapping[str, Any] | None = None
    report_step: Report | None = None


@dataclass(frozen=True)
class FitResult:
    """The result of training a network."""

    standardize: Standardize | None
    metrics: dict[str, float]
    notes: tuple[str, ...]
    confusion: list[list[int]] | None


@dataclass(frozen=True)
class Trainer:
    """Trains a network on rows. The parameters are those of :func:`~longshore.workers.train.loop.trainer.train`."""

    spec: TrainSpec
    data: Data
    device: torch.device
    report: Report
    check: Check
    checkpoints: CheckpointHooks
    pretrained: Pretrained
    strategy: Strategy

    def run(self, network: nn.Module) -> FitResult:
        """Train ``network`` in place.

        :raises InvalidInput: the loss is no longer finite, or the run does not fit the memory of the device.
        """
        try:
            return self._run(network)
        except torch.OutOfMemoryError as error:
            raise self._too_large() from error

    def _run(self, network: nn.Module) -> FitResult:
        self.strategy.prepare(network, self.device, self.spec.seed)
        rows = self._place()
        loop = self._loop(network, rows)
        if self.checkpoints.state is not None:
            loop.restore(self.checkpoints.state)
        metrics = dict(loop.run(self.spec.epochs, self.report))
        if self.checkpoints.checkpointer is not None:
            self.checkpoints.checkpointer.save(loop.state, loop.position.epoch, loop.position.done)
        notes: tuple[str, ...] = ()
        if loop.early_stopping is not None:
            loop.early_stopping.restore(network)
            metrics = dict(loop.early_stopping.metrics)
            notes = (loop.early_stopping.note(loop.position.epoch - 1),)
        confusion = self._confusion(network, loop)
        if rows.test is not None:
            tested = self._make_evaluator(rows.test, "test_").run(network, self.check)
            self.report(self.spec.epochs, dict(tested))
            metrics |= tested
        return FitResult(rows.standardize, metrics, notes, confusion)

    def _place(self) -> DeviceRows:
        given = self.pretrained.standardize(self.data.signature.width)
        spec = self.spec
        if self.pretrained.base is not None:
            spec = spec.model_copy(update={"standardize": given is not None})
        return put_on_device(spec, self.data, self.device, given, self.strategy)

    def _loop(self, network: nn.Module, rows: DeviceRows) -> TrainingLoop:
        spec = self.spec
        optimizer = make_optimizer(spec, network)
        steps = spec.epochs * -(-rows.train.count // (spec.batch_size * spec.accumulate))
        changes = spec.schedule != "constant" or spec.warmup_steps
        return TrainingLoop(
            network=network,
            optimizer=optimizer,
            loss=make_training_loss(spec, self.data, self.device),
            rows=rows.train,
            batch_size=spec.batch_size,
            device=self.device,
            evaluator=None if rows.validation is None else self._make_evaluator(rows.validation, "val_"),
            train_evaluator=self._make_evaluator(rows.trained, "train_") if spec.train_metrics else None,
            check=self.check,
            precision=Precision(spec.precision, self.device),
            accumulate=spec.accumulate,
            clip_grad_norm=spec.clip_grad_norm,
            schedule=LRSchedule(spec, optimizer, steps) if changes else None,
            early_stopping=None if spec.early_stopping is None else EarlyStopping(spec.early_stopping, spec.monitor),
            distillation=self._distillation(rows.standardize),
            checkpointer=self.checkpoints.checkpointer,
            report_step=self.checkpoints.report_step,
            strategy=self.strategy,
            model=self.strategy.wrap(network, self.data.signature.width),
        )

    def _distillation(self, standardize: Standardize | None) -> Distillation | None:
        if self.pretrained.teacher is None:
            return None
        self.pretrained.teacher.to(self.device)
        return Distillation(self.spec, self.pretrained, self.data.signature, standardize)

    def _make_evaluator(self, rows: HeldOutRows, prefix: str) -> MetricsEvaluator | EmbeddingEvaluator:
        spec, task = self.spec, self.data.signature.task
        loss = make_loss(spec, task)
        if task == "embedding":
            return EmbeddingEvaluator(rows, loss, spec.batch_size, self.device, prefix, spec.metrics)
        return MetricsEvaluator(
            *(rows, self._classes, loss, spec.batch_size, self.device, prefix, spec.metrics, task, self.strategy)
        )

    def _confusion(self, network: nn.Module, loop: TrainingLoop) -> list[list[int]] | None:
        if not isinstance(loop.evaluator, MetricsEvaluator) or self.data.signature.task != "classification":
            return None
        if (self._classes or 0) > MAX_CONFUSION_CLASSES:
            return None
        return loop.evaluator.confusion(network, self.check)

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


def train(
    spec: TrainSpec,
    rows: OpenedRows,
    device: torch.device,
    report: Report,
    check: Check,
    fold: tuple[int, int] | None = None,
    checkpoints: CheckpointHooks | None = None,
    pretrained: Pretrained | None = None,
    strategy: Strategy | None = None,
) -> TrainedModel:
    """Train what ``spec`` asks for on ``rows``, which are those that it names: in memory, or streamed.

    The seed decides the split, the initial weights, the order of rows and the dropout. Two runs on the CPU with the
    same number of threads end with the same bits. The state of torch's global generators does not change.

    :param report: called after each epoch, from 1, with ``train_loss`` and, if rows are held out, ``val_loss`` and
        ``val_accuracy``, or ``val_loss``, ``val_mae`` and ``val_r2``, say; and at the end, if rows are kept for
        testing, with the same of these, named ``test_``.
    :param check: called before each batch; what it raises ends the run.
    :param fold: as of :func:`read_training_data`.
    :param checkpoints: checkpoints, and from where to go on.
    :param pretrained: what ``spec`` names to begin with or to learn from.
    :param strategy: how the training is spread over devices, of which ``device`` is this process's; each process calls
        this, and what that of rank 0 gives counts. ``None``: on ``device`` alone.
    :raises InvalidInput: the spec does not fit the rows or the family, a row is bad, the loss is no longer finite, or
        the run does not fit the memory of ``device``.
    """
    family = get_family(spec.family)
    config = build(family.config, spec.config, "config.")
    pretrained, strategy = pretrained or Pretrained(), strategy or Single()
    if isinstance(rows, Tables):
        data: Data = read_training_data(spec, rows, fold, pretrained.tokenizer)
    else:
        data = read_streams(spec, rows, check, fold)
    tokens = data.tokenizer if isinstance(data, TrainingData) else None
    if tokens is not None:
        config = tokens.with_vocabulary(family.config, config)
    if config.takes_ids:
        spec = spec.model_copy(update={"standardize": False})
    check()
    fitting = Trainer(spec, data, device, report, check, checkpoints or CheckpointHooks(), pretrained, strategy)
    # Seed inside and restore after: other work of this process must not depend on earlier trainings.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(spec.seed)
        network, notes = _build_network(fitting, family, config)
        fit = fitting.run(network)
        network = strategy.unwrap(network, lambda: family.build(config, data.signature.width, data.outputs))
    module = assemble(network, fit.standardize, unit_length=data.signature.task == "embedding")
    return TrainedModel(
        module=module.to("cpu").eval(),
        signature=data.signature,
        config=config,
        metrics=fit.metrics,
        notes=(*data.notes, *notes, *fit.notes),
        tokenizer=None if tokens is None else tokens.content,
        confusion=fit.confusion,
    )


def _build_network(fitting: Trainer, family: Family, config: FamilyConfig) -> tuple[nn.Module, tuple[str, ...]]:
    """Build the network with its initial weights. Returns it with notes on the weights."""
    # Build on the CPU, so that a seed gives the same initial weights on every device.
    network = family.build(config, fitting.data.signature.width, fitting.data.outputs)
    initialize(network, fitting.spec)
    notes = fitting.pretrained.fill(network)
    freeze(network, fitting.spec.freeze)
    # FSDP shards only the default memory layout.
    if fitting.device.type == "cpu" and fitting.strategy.world_size == 1:
        channels_last(network, family)
    return network, tuple(notes)
