"""Puts data on a device and standardises it, for training and for measuring."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from longshore.shared.specs.families import image_shape
from longshore.shared.specs.train import TrainSpec
from longshore.workers.families.standardize import Standardize
from longshore.workers.train.data.augment import Augmentation
from longshore.workers.train.data.batches import AugmentedRows, HeldOutRows, InMemoryRows, TrainingRows
from longshore.workers.train.data.dataset import TrainingData
from longshore.workers.train.data.rank_sharding import RankRows, computed_rows
from longshore.workers.train.data.split import Rows
from longshore.workers.train.data.stream.batches import StreamedRows
from longshore.workers.train.data.stream.dataset import StreamedData
from longshore.workers.train.data.stream.splitting import TEST, TRAIN, VALIDATION
from longshore.workers.train.strategy.base import Strategy
from longshore.workers.train.strategy.single import Single


@dataclass(frozen=True)
class DeviceRows:
    """Rows on a device."""

    train: TrainingRows
    #: The same rows to measure on, without augmentation.
    trained: HeldOutRows
    #: ``None`` if no rows are held out.
    validation: HeldOutRows | None
    test: HeldOutRows | None
    #: How the rows are standardised, if they are.
    standardize: Standardize | None


def put_on_device(
    spec: TrainSpec,
    data: TrainingData | StreamedData,
    device: torch.device,
    standardize: Standardize | None = None,
    strategy: Strategy | None = None,
) -> DeviceRows:
    """Put the rows on ``device``, or prepare to stream them. On the CPU, features in memory are standardised in place.

    :param standardize: how to standardise; ``None`` measures the rows.
    :param strategy: divides the batches to train on among devices.
    """
    if isinstance(data, TrainingData):
        placed = _in_memory(spec, data, device, standardize)
    else:
        placed = _streamed(spec, data, device, standardize)
    strategy = strategy or Single()
    if strategy.world_size > 1:
        placed = replace(placed, train=RankRows(placed.train, strategy))
    shape = image_shape(spec.config)
    if spec.augment is None:
        return placed
    spec.augment.check(shape, data.signature.features)
    assert shape is not None
    augmentation = Augmentation(spec.augment, shape, spec.seed, placed.standardize, partial(computed_rows, strategy))
    return replace(placed, train=AugmentedRows(placed.train, augmentation))


def _in_memory(spec: TrainSpec, data: TrainingData, device: torch.device, fixed: Standardize | None) -> DeviceRows:
    rows = torch.from_numpy(data.features).to(device)
    targets = torch.from_numpy(data.targets.values).to(device)
    standardize = None
    if spec.standardize:
        standardize = fixed
        if standardize is None:
            standardize = Standardize.measure(rows, torch.from_numpy(data.train_rows).to(device))
            standardize = standardize.without(data.signature.unscaled)
        standardize.to(device)
        standardize.apply_(rows)

    lengths = None if data.tokenizer is None else torch.from_numpy(data.tokenizer.lengths)

    def some(numbers: Rows) -> InMemoryRows:
        return InMemoryRows(rows, targets, torch.from_numpy(numbers), spec.seed, lengths)

    def held_out(numbers: Rows) -> InMemoryRows | None:
        if data.tokenizer is not None:
            # Rows of similar length share a batch, so that little padding is computed.
            numbers = numbers[np.argsort(data.tokenizer.lengths[numbers], kind="stable")]
        return some(numbers) if len(numbers) else None

    train = some(data.train_rows)
    measured = held_out(data.train_rows) or train
    return DeviceRows(train, measured, held_out(data.held_out_rows), held_out(data.test_rows), standardize)


def _streamed(spec: TrainSpec, data: StreamedData, device: torch.device, fixed: Standardize | None) -> DeviceRows:
    standardize = (fixed or data.scan.standardize).to(device) if spec.standardize else None
    parts = [data.part(part, standardize, device) for part in (TRAIN, VALIDATION, TEST)]
    train = StreamedRows(parts[0], data.window(spec), spec.seed)
    held_out, tested = (part if part.count else None for part in parts[1:])
    return DeviceRows(train, parts[0], held_out, tested, standardize)
