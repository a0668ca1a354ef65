"""The rows that a network is trained on and measured on, batch by batch."""

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
    """Rows to train on. Their order depends on the seed and the epoch alone."""

    @property
    def count(self) -> int:
        """Rows in an epoch."""
        ...

    def batches(self, epoch: int, size: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch; the last may be smaller.

        :param start: the step to begin with, from 0.
        """
        ...


class HeldOutRows(Protocol):
    """Rows to measure on."""

    @property
    def count(self) -> int:
        """How many, one or more."""
        ...

    def in_order(self, size: int) -> Iterator[Batch]:
        """All of them, in batches of ``size``."""
        ...


@dataclass(frozen=True)
class InMemoryRows:
    """Some rows of tensors that lie on the device."""

    #: float32 ``(n, width)`` and ``(n,)``: all rows.
    rows: torch.Tensor
    targets: torch.Tensor
    #: int64, on the CPU: the numbers of those meant.
    picked: torch.Tensor
    seed: int = 0
    #: Of rows of ids, int64 ``(n,)``, on the CPU: all behind is padding. A batch is as wide as its longest row.
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
        for place, picked in enumerate(torch.split(numbers.to(self.rows.device), size)):
            inputs = self.rows.index_select(0, picked)
            if self.lengths is not None:
                # Asked on the CPU: nothing waits for the device.
                inputs = inputs[:, : int(self.lengths[numbers[place * size : place * size + size]].max())]
            yield inputs, self.targets.index_select(0, picked)


@dataclass(frozen=True)
class AugmentedRows:
    """Others' rows, each changed at random."""

    rows: TrainingRows
    augmentation: Augmentation

    @property
    def count(self) -> int:
        """See :class:`TrainingRows`."""
        return self.rows.count

    def batches(self, epoch: int, size: int, start: int = 0) -> Iterator[Batch]:
        """See :class:`TrainingRows`."""
        for step, (inputs, targets) in enumerate(self.rows.batches(epoch, size, start), start):
            of_all = min(size, self.count - step * size)
            yield self.augmentation(inputs, epoch, step, of_all), targets
