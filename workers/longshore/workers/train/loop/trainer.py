"""A whole training run: from rows to a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import FamilyConfig, LightgbmConfig
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build
from longshore.workers.families.base import Family
from longshore.workers.families.layout import channels_last
from longshore.workers.families.model import assemble, build_network
from longshore.workers.families.registry import get_family
from longshore.workers.families.standardize import Standardize
from longshore.workers.train.data.batches import HeldOutRows
from longshore.workers.train.data.class_notes import class_notes
from longshore.workers.train.data.dataset import Tables, TrainingData, read_training_data
from longshore.workers.train.data.load_rows import OpenedRows
from longshore.workers.train.data.on_device import DeviceRows, put_on_device
from longshore.workers.train.data.stream.dataset import StreamedData, read_streams
from longshore.workers.train.loop.context import TrainingContext
from longshore.workers.train.loop.early_stopping import EarlyStopping
from longshore.workers.train.loop.initialize import initialize
from longshore.workers.train.loop.loop import Evaluators, TrainingLoop
from longshore.workers.train.loop.loss_notes import loss_notes
from longshore.workers.train.loop.lr_schedule import LRSchedule
from longshore.workers.train.loop.optimizers import make_optimizer
from longshore.workers.train.loop.pretrained import Distillation, freeze
from longshore.workers.train.loop.result import MAX_CONFUSION_CLASSES, TrainedModel, TrainingSummary
from longshore.workers.train.loop.run import run_loop, run_test
from longshore.workers.train.loop.tree_trainer import train_trees
from longshore.workers.train.objective.criteria import make_loss, make_training_loss
from longshore.workers.train.objective.embedding_evaluator import EmbeddingEvaluator
from longshore.workers.train.objective.evaluator import MetricsEvaluator

Data: TypeAlias = TrainingData | StreamedData


@dataclass(frozen=True)
class FitResult:
    """The result of training a network."""

    standardize: Standardize | None
    metrics: dict[str, float]
    notes: tuple[str, ...]
    confusion: list[list[int]] | None
    #: ``None`` if no epoch is known: only after the last checkpoint of a release without a history.
    summary: TrainingSummary | None


@dataclass(frozen=True)
class Trainer:
    """Trains a network on rows."""

    spec: TrainSpec
    data: Data
    context: TrainingContext

    def run(self, network: nn.Module) -> FitResult:
        """Train ``network`` in place.

        :raises InvalidInput: the loss is no longer finite, or the run does not fit the memory of the device.
        """
        try:
            return self._run(network)
        except torch.OutOfMemoryError as error:
            raise self._too_large() from error

    def _run(self, network: nn.Module) -> FitResult:
        self.context.strategy.prepare(network, self.context.device, self.spec.seed)
        rows = self._place()
        loop = self._loop(network, rows)
        result = run_loop(loop, self.context)
        notes = (*result.notes, *loss_notes(self.spec, self.data.signature, loop.history))
        confusion = self._confusion(network, loop)
        if isinstance(loop.evaluators.validation, MetricsEvaluator):
            notes = (*notes, *loop.evaluators.validation.notes)
        metrics = dict(result.metrics)
        if rows.test is not None:
            metrics |= run_test(loop, self.context, self._make_evaluator(rows.test, "test_"))
        return FitResult(rows.standardize, metrics, notes, confusion, result.summary)

    def _place(self) -> DeviceRows:
        standardize = self.context.pretrained.standardize(self.data.signature.width)
        spec = self.spec
        if self.context.pretrained.base is not None:
            spec = spec.model_copy(update={"standardize": standardize is not None})
        return put_on_device(spec, self.data, self.context.device, standardize, self.context.strategy)

    def _loop(self, network: nn.Module, rows: DeviceRows) -> TrainingLoop:
        spec = self.spec
        optimizer = make_optimizer(spec, network)
        steps = spec.epochs * -(-rows.train.count // (spec.batch_size * spec.accumulate))
        changes = spec.schedule != "constant" or spec.warmup_steps
        return TrainingLoop(
            spec=spec,
            context=self.context,
            network=network,
            optimizer=optimizer,
            loss=make_training_loss(spec, self.data, self.context.device),
            rows=rows.train,
            evaluators=Evaluators(
                validation=None if rows.validation is None else self._make_evaluator(rows.validation, "val_"),
                train=self._make_evaluator(rows.trained, "train_") if spec.train_metrics else None,
            ),
            schedule=LRSchedule(spec, optimizer, steps) if changes else None,
            early_stopping=None if spec.early_stopping is None else EarlyStopping(spec.early_stopping, spec.monitor),
            distillation=self._distillation(rows.standardize),
            model=self.context.strategy.wrap(network, self.data.signature.width),
        )

    def _distillation(self, standardize: Standardize | None) -> Distillation | None:
        if self.context.pretrained.teacher is None:
            return None
        self.context.pretrained.teacher.to(self.context.device)
        return Distillation(self.spec, self.context.pretrained, self.data.signature, standardize)

    def _make_evaluator(self, rows: HeldOutRows, prefix: str) -> MetricsEvaluator | EmbeddingEvaluator:
        spec, task = self.spec, self.data.signature.task
        loss = make_loss(spec, task)
        if task == "embedding":
            return EmbeddingEvaluator(rows, loss, spec.batch_size, self.context.device, prefix, spec.metrics)
        return MetricsEvaluator(
            *(rows, self._classes, loss, spec.batch_size, self.context.device, prefix, spec.metrics, task),
            self.context.strategy,
        )

    def _confusion(self, network: nn.Module, loop: TrainingLoop) -> list[list[int]] | None:
        if not isinstance(loop.evaluators.validation, MetricsEvaluator) or self.data.signature.task != "classification":
            return None
        if (self._classes or 0) > MAX_CONFUSION_CLASSES:
            return None
        return loop.evaluators.validation.confusion(network, self.context.check)

    @property
    def _classes(self) -> int | None:
        labels = self.data.signature.labels
        return None if labels is None else len(labels)

    def _too_large(self) -> InvalidInput:
        size, data, device = self.spec.batch_size, self.data, self.context.device
        if isinstance(data, StreamedData):
            return InvalidInput(
                "batch_size",
                f"{size}: three windows of {data.window(self.spec)} rows of {data.signature.width} numbers and the "
                f"network's work do not fit the memory of {device}; use smaller batches, a smaller network or a "
                "smaller shuffle_window",
            )
        count, width = data.features.shape
        return InvalidInput(
            "batch_size",
            f"{size}: {count} rows of {width} numbers ({data.features.nbytes / 2**20:.0f} MiB) and the network's work "
            f"do not fit the memory of {device}; use smaller batches, a smaller network or fewer rows",
        )


def train(
    spec: TrainSpec, rows: OpenedRows, context: TrainingContext, fold: tuple[int, int] | None = None
) -> TrainedModel:
    """Train what ``spec`` asks for on ``rows``, which are those that it names: in memory, or streamed.

    The seed decides the split, the initial weights, the order of rows and the dropout. Two runs on the CPU with the
    same number of threads end with the same bits. The state of torch's global generators does not change.

    :param fold: as for :func:`read_training_data`.
    :raises InvalidInput: the spec does not fit the rows or the family, a row is bad, the loss is no longer finite, or
        the run does not fit the memory of the device.
    """
    family = get_family(spec.family)
    config = build(family.config, spec.config, "config.")
    if isinstance(config, LightgbmConfig):
        if not isinstance(rows, Tables):
            raise InvalidInput("stream", f"family {spec.family!r} holds its rows in memory; leave it out")
        return train_trees(spec, config, rows, context, fold)
    if config.takes_ids:
        spec = spec.model_copy(update={"standardize": False})
    pretrained = context.pretrained
    if isinstance(rows, Tables):
        data: Data = read_training_data(spec, rows, fold, pretrained.tokenizer, pretrained.features)
    else:
        data = read_streams(spec, rows, context.check, fold, pretrained.features)
    tokens = data.tokenizer if isinstance(data, TrainingData) else None
    if tokens is not None:
        config = tokens.with_vocabulary(family.config, config)
        spec = spec.model_copy(update={"standardize": spec.standardize and not config.takes_ids})
    context.check()
    trainer = Trainer(spec, data, context)
    # Seed inside and restore after: other work of this process must not depend on earlier trainings.
    with torch.random.fork_rng(devices=[context.device] if context.device.type == "cuda" else []):
        torch.manual_seed(spec.seed)
        network, notes = _build_network(trainer, family, config)
        fit = trainer.run(network)
        network = context.strategy.unwrap(network, lambda: build_network(family, config, data.signature, data.outputs))
    module = assemble(network, fit.standardize, unit_length=data.signature.task == "embedding")
    return TrainedModel(
        module=module.to("cpu").eval(),
        signature=data.signature,
        config=config,
        metrics=fit.metrics,
        notes=(*fit.notes, *class_notes(spec, data), *data.notes, *notes),
        tokenizer=None if tokens is None else tokens.content,
        confusion=fit.confusion,
        statistics=data.statistics,
        summary=fit.summary,
    )


def _build_network(trainer: Trainer, family: Family, config: FamilyConfig) -> tuple[nn.Module, tuple[str, ...]]:
    """Build the network with its initial weights. Returns it with notes on the weights."""
    # Build on the CPU, so that a seed gives the same initial weights on every device.
    network = build_network(family, config, trainer.data.signature, trainer.data.outputs)
    initialize(network, trainer.spec)
    notes = trainer.context.pretrained.fill(network)
    freeze(network, trainer.spec.freeze)
    # FSDP shards only the default memory layout.
    if trainer.context.device.type == "cpu" and trainer.context.strategy.world_size == 1:
        channels_last(network, family)
    return network, tuple(notes)
