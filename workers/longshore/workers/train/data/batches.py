"""Batches of the rows that a network is trained and measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from longshore.workers.train.data.augment import Augmentation
from longshore.workers.train.seeds import derive_seed

#: Inputs, float32 ``(n, width)``, and targets, ``(n,)``, on the device, as the network and the loss take them.
Batch = tuple[torch.Tensor, torch.Tensor]


class TrainingRows(Protocol):
    """Rows to train on. Their order depends only on the seed and the epoch."""

    @property
    def count(self) -> int:
        """Rows in an epoch."""
        ...

    def batches(self, epoch: int, size: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch; the last may be smaller.

        :param start: the first step, from 0.
        """
        ...


class HeldOutRows(Protocol):
    """Rows to measure on."""

    @property
    def count(self) -> int:
        """The number of rows, one or more."""
        ...

    def in_order(self, size: int) -> Iterator[Batch]:
        """All rows in order, in batches of ``size``."""
        ...


@dataclass(frozen=True)
class InMemoryRows:
    """Selected rows of tensors on the device."""

    #: float32 ``(n, width)`` and ``(n,)``: all rows.
    rows: torch.Tensor
    targets: torch.Tensor
    #: int64, on the CPU: the indexes of the selected rows.
    picked: torch.Tensor
    seed: int = 0
    #: Only for rows of token ids: their lengths without padding, int64 ``(n,)``, on the CPU. A batch is as wide as its
    #: longest row.
    lengths: torch.Tensor | None = None

    @property
    def count(self) -> int:
        """See :class:`TrainingRows`."""
        return len(self.picked)

    def batches(self, epoch: int, size: int, start: int = 0) -> Iterator[Batch]:
        """See :class:`TrainingRows`."""
        generator = torch.Generator().manual_seed(derive_seed("order", self.seed, epoch))
        shuffled = self.picked[torch.randperm(len(self.picked), generator=generator)]
        yield from self._taken(shuffled[start * size :], size)

    def in_order(self, size: int) -> Iterator[Batch]:
        """See :class:`HeldOutRows`."""
        yield from self._taken(self.picked, size)

    def _taken(self, numbers: torch.Tensor, size: int) -> Iterator[Batch]:
        if not len(numbers):
            return
        for number, picked in enumerate(torch.split(numbers.to(self.rows.device), size)):
            inputs = self.rows.index_select(0, picked)
            if self.lengths is not None:
                # The lengths are on the CPU, so nothing waits for the device.
                inputs = inputs[:, : int(self.lengths[numbers[number * size : number * size + size]].max())]
            yield inputs, self.targets.index_select(0, picked)


@dataclass(frozen=True)
class AugmentedRows:
    """Rows to train on, each augmented at random."""

    rows: TrainingRows
    augmentation: Augmentation

    @property
    def count(self) -> int:
        """See :class:`TrainingRows`."""
        return self.rows.count

    def batches(self, epoch: int, size: int, start: int = 0) -> Iterator[Batch]:
        """See :class:`TrainingRows`."""
        for step, (inputs, targets) in enumerate(self.rows.batches(epoch, size, start), start):
            batch_rows = min(size, self.count - step * size)
            yield self.augmentation(inputs, epoch, step, batch_rows), targets
