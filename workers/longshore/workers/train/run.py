"""A whole training run, from a table to a trained model."""

from __future__ import annotations

import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.jobs import TrainSpec
from longshore.shared.validation import build
from longshore.workers.families.model import assemble
from longshore.workers.families.registry import get_family
from longshore.workers.families.standardize import Standardize
from longshore.workers.train.data import Tables, TrainingData, read_training_data
from longshore.workers.train.evaluate import Evaluation
from longshore.workers.train.loop import Loop
from longshore.workers.train.losses import LOSSES
from longshore.workers.train.optimizers import make_optimizer
from longshore.workers.train.outcome import Check, Report, TrainedModel
from longshore.workers.train.split import Rows


def train(
    spec: TrainSpec,
    tables: Tables,
    device: torch.device,
    report: Report,
    check: Check,
    fold: tuple[int, int] | None = None,
) -> TrainedModel:
    """Train what ``spec`` asks for on ``tables``, which hold the rows that it names.

    The seed decides the split, the initial weights, the order of rows and the dropout. Two runs on the CPU with as many
    threads end with the same bits. The state of torch's global generators is left as it was.

    :param report: called after each epoch, from 1, with ``train_loss`` and, if rows are held out, ``val_loss`` and
        ``val_accuracy``, or ``val_loss``, ``val_mae`` and ``val_r2``; and at the end, if rows are kept for testing,
        with the same of these, named ``test_``.
    :param check: called before each batch; what it raises ends the run.
    :param fold: as of :func:`read_training_data`.
    :raises InvalidInput: the spec does not fit the tables or the family, a row is bad, the loss is no longer finite, or
        the run does not fit the memory of ``device``.
    """
    family = get_family(spec.family)
    config = build(family.config, spec.config, "config.")
    data = read_training_data(spec, tables, fold)
    check()
    # Seeded inside and restored after: other work of this process must not depend on which jobs it trained before.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(spec.seed)
        # Built on the CPU, so that the seed gives the same initial weights for every device.
        network = family.build(config, data.signature.width, data.targets.outputs)
        try:
            standardize, metrics = _run(spec, data, network, device, report, check)
        except torch.OutOfMemoryError as error:
            raise _too_large(spec, data, device) from error
    module = assemble(network, standardize).to("cpu").eval()
    return TrainedModel(module=module, signature=data.signature, config=config, metrics=metrics, notes=data.notes)


def _run(
    spec: TrainSpec, data: TrainingData, network: nn.Module, device: torch.device, report: Report, check: Check
) -> tuple[Standardize | None, dict[str, float]]:
    """Train ``network`` in place. On the CPU ``data.features`` is standardised in place too, to save a copy of it."""
    network.to(device)
    rows = torch.from_numpy(data.features).to(device)
    standardize = None
    if spec.standardize:
        standardize = Standardize.measure(rows, torch.from_numpy(data.train_rows).to(device))
        standardize.apply_(rows)
    loop = _loop(spec, data, network, rows, check)
    metrics: dict[str, float] = {}
    for epoch in range(1, spec.epochs + 1):
        metrics = loop.epoch(epoch)
        report(epoch, dict(metrics))
    if len(data.test_rows):
        tested = _evaluation(spec, data, rows, loop.targets, data.test_rows, "test_").run(network, check)
        report(spec.epochs, dict(tested))
        metrics |= tested
    return standardize, metrics


def _loop(spec: TrainSpec, data: TrainingData, network: nn.Module, rows: torch.Tensor, check: Check) -> Loop:
    targets = torch.from_numpy(data.targets.values).to(rows.device)
    held_out = data.held_out_rows
    return Loop(
        network=network,
        optimizer=make_optimizer(spec, network),
        loss=LOSSES[data.signature.task],
        learning_rate=spec.learning_rate,
        rows=rows,
        targets=targets,
        train_rows=torch.from_numpy(data.train_rows),
        batch_size=spec.batch_size,
        generator=torch.Generator().manual_seed(spec.seed),
        evaluation=_evaluation(spec, data, rows, targets, held_out, "val_") if len(held_out) else None,
        check=check,
    )


def _evaluation(
    spec: TrainSpec, data: TrainingData, rows: torch.Tensor, targets: torch.Tensor, picked: Rows, prefix: str
) -> Evaluation:
    numbers = torch.from_numpy(picked).to(rows.device)
    classes = None if data.targets.labels is None else len(data.targets.labels)
    return Evaluation(rows, targets, numbers, classes, LOSSES[data.signature.task], spec.batch_size, prefix)


def _too_large(spec: TrainSpec, data: TrainingData, device: torch.device) -> InvalidInput:
    count, width = data.features.shape
    return InvalidInput(
        "batch_size",
        f"{spec.batch_size}: {count} rows of {width} numbers ({data.features.nbytes / 2**20:.0f} MiB) and the "
        f"network's work do not fit the memory of {device}; use smaller batches, a smaller network or fewer rows",
    )
