"""A whole training run, from a table to a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.training import TrainSpec
from longshore.shared.validation import build
from longshore.workers.families.model import assemble
from longshore.workers.families.registry import get_family
from longshore.workers.families.standardize import Standardize
from longshore.workers.train.criteria import make_loss, make_training_loss
from longshore.workers.train.data import Tables, TrainingData, read_training_data
from longshore.workers.train.evaluate import Evaluation
from longshore.workers.train.initialize import initialize
from longshore.workers.train.loop import Keeper, Loop
from longshore.workers.train.neighbours import VectorEvaluation
from longshore.workers.train.opening import Opened
from longshore.workers.train.optimizers import make_optimizer
from longshore.workers.train.outcome import Check, Report, TrainedModel
from longshore.workers.train.placing import place
from longshore.workers.train.precision import Precision
from longshore.workers.train.prior import Prior, Teaching, freeze
from longshore.workers.train.rows import HeldOutRows
from longshore.workers.train.schedules import Schedule
from longshore.workers.train.stopping import Stopping
from longshore.workers.train.strategy.base import Strategy
from longshore.workers.train.strategy.single import Single
from longshore.workers.train.stream.data import StreamedData, read_streams

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


def train(
    spec: TrainSpec,
    rows: Opened,
    device: torch.device,
    report: Report,
    check: Check,
    fold: tuple[int, int] | None = None,
    keeping: Keeping | None = None,
    prior: Prior | None = None,
    strategy: Strategy | None = None,
) -> TrainedModel:
    """Train what ``spec`` asks for on ``rows``, which are those that it names: in memory, or streamed.

    The seed decides the split, the initial weights, the order of rows and the dropout. Two runs on the CPU with as many
    threads end with the same bits. The state of torch's global generators is left as it was.

    :param report: called after each epoch, from 1, with ``train_loss`` and, if rows are held out, ``val_loss`` and
        ``val_accuracy``, or ``val_loss``, ``val_mae`` and ``val_r2``, say; and at the end, if rows are kept for
        testing, with the same of these, named ``test_``.
    :param check: called before each batch; what it raises ends the run.
    :param fold: as of :func:`read_training_data`.
    :param keeping: checkpoints, and from where to go on.
    :param prior: what ``spec`` names to begin with or to learn from.
    :param strategy: how the training is spread over devices, of which ``device`` is this process's; each process calls
        this, and what that of rank 0 gives counts. ``None``: on ``device`` alone.
    :raises InvalidInput: the spec does not fit the rows or the family, a row is bad, the loss is no longer finite, or
        the run does not fit the memory of ``device``.
    """
    family = get_family(spec.family)
    config = build(family.config, spec.config, "config.")
    prior, strategy = prior or Prior(), strategy or Single()
    if isinstance(rows, Tables):
        data: Data = read_training_data(spec, rows, fold, prior.tokenizer)
    else:
        data = read_streams(spec, rows, check, fold)
    fitted = data.fitted if isinstance(data, TrainingData) else None
    if fitted is not None:
        config = fitted.told(family.config, config)
    if config.takes_ids:
        spec = spec.model_copy(update={"standardize": False})
    check()
    # Seeded inside and restored after: other work of this process must not depend on which jobs it trained before.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(spec.seed)
        # Built on the CPU, so that the seed gives the same initial weights for every device.
        network = family.build(config, data.signature.width, data.outputs)
        initialize(network, spec)
        notes = prior.fill(network)
        freeze(network, spec.freeze)
        try:
            trained = _run(spec, data, network, device, report, check, keeping or Keeping(), prior, strategy)
        except torch.OutOfMemoryError as error:
            raise _too_large(spec, data, device) from error
        network = strategy.plain(network, lambda: family.build(config, data.signature.width, data.outputs))
    module = assemble(network, trained.standardize, unit_length=data.signature.task == "embedding")
    return TrainedModel(
        module=module.to("cpu").eval(),
        signature=data.signature,
        config=config,
        metrics=trained.metrics,
        notes=(*data.notes, *notes, *trained.notes),
        tokenizer=None if fitted is None else fitted.content,
        confusion=trained.confusion,
    )


@dataclass(frozen=True)
class Trained:
    """What became of a network."""

    standardize: Standardize | None
    metrics: dict[str, float]
    notes: tuple[str, ...]
    confusion: list[list[int]] | None


def _run(
    spec: TrainSpec,
    data: Data,
    network: nn.Module,
    device: torch.device,
    report: Report,
    check: Check,
    keeping: Keeping,
    prior: Prior,
    strategy: Strategy,
) -> Trained:
    """Train ``network`` in place."""
    strategy.place(network, device, spec.seed)
    given = prior.standardize(data.signature.width)
    if prior.base is not None:
        spec = spec.model_copy(update={"standardize": given is not None})
    rows = place(spec, data, device, given, strategy)
    if prior.teacher is not None:
        prior.teacher.to(device)
    teaching = None if prior.teacher is None else Teaching(spec, prior, data.signature, rows.standardize)
    classes = None if data.signature.labels is None else len(data.signature.labels)
    task = data.signature.task
    loss = make_loss(spec, task)

    def evaluation(held_out: HeldOutRows, prefix: str) -> Evaluation | VectorEvaluation:
        if task == "embedding":
            return VectorEvaluation(held_out, loss, spec.batch_size, device, prefix, spec.metrics)
        return Evaluation(held_out, classes, loss, spec.batch_size, device, prefix, spec.metrics, task, strategy)

    optimizer = make_optimizer(spec, network)
    steps = spec.epochs * -(-rows.train.count // (spec.batch_size * spec.accumulate))
    loop = Loop(
        network=network,
        optimizer=optimizer,
        loss=make_training_loss(spec, data, device),
        rows=rows.train,
        batch_size=spec.batch_size,
        device=device,
        evaluation=None if rows.validation is None else evaluation(rows.validation, "val_"),
        trained=evaluation(rows.trained, "train_") if spec.train_metrics else None,
        check=check,
        precision=Precision(spec.precision, device),
        accumulate=spec.accumulate,
        clip_grad_norm=spec.clip_grad_norm,
        schedule=None if spec.schedule == "constant" and not spec.warmup_steps else Schedule(spec, optimizer, steps),
        stopping=None if spec.early_stopping is None else Stopping(spec.early_stopping, spec.monitor),
        teaching=teaching,
        keeper=keeping.keeper,
        report_step=keeping.report_step,
        strategy=strategy,
        model=strategy.wrap(network, data.signature.width),
    )
    if keeping.state is not None:
        loop.restore(keeping.state)
    metrics = dict(loop.run(spec.epochs, report))
    if keeping.keeper is not None:
        keeping.keeper.keep(loop.state, loop.place.epoch, loop.place.done)
    notes: tuple[str, ...] = ()
    if loop.stopping is not None:
        loop.stopping.restore(network)
        metrics = dict(loop.stopping.metrics)
        notes = (loop.stopping.note(loop.place.epoch - 1),)
    confusion = None
    if isinstance(loop.evaluation, Evaluation) and task == "classification" and (classes or 0) <= MOST_CLASSES:
        confusion = loop.evaluation.confusion(network, check)
    if rows.test is not None:
        tested = evaluation(rows.test, "test_").run(network, check)
        report(spec.epochs, dict(tested))
        metrics |= tested
    return Trained(rows.standardize, metrics, notes, confusion)


def _too_large(spec: TrainSpec, data: Data, device: torch.device) -> InvalidInput:
    if isinstance(data, StreamedData):
        return InvalidInput(
            "batch_size",
            f"{spec.batch_size}: three windows of {data.window(spec)} rows of {data.signature.width} numbers and the "
            f"network's work do not fit the memory of {device}; use smaller batches, a smaller network or a smaller "
            "shuffle_window",
        )
    count, width = data.features.shape
    return InvalidInput(
        "batch_size",
        f"{spec.batch_size}: {count} rows of {width} numbers ({data.features.nbytes / 2**20:.0f} MiB) and the "
        f"network's work do not fit the memory of {device}; use smaller batches, a smaller network or fewer rows",
    )
